// Runs are kept maximal: two texts of one origin join into one run.
#include "text/jinja/tracked_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

constexpr uint32_t kInvalid = 0x110000;

bool set_contains(const std::string& set, uint32_t code_point) {
  for (size_t position = 0; position < set.size();) {
    uint32_t member = 0;
    position += decode_character(set, position, member);
    if (member == code_point) return true;
  }
  return false;
}

}  // namespace

void TrackedText::append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().trusted == trusted) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), trusted});
  }
}

void TrackedText::append_range(const TrackedText& other, size_t from, size_t to) {
  const std::string_view bytes = other.bytes_;
  auto run = std::upper_bound(other.runs_.begin(), other.runs_.end(), from,
                              [](size_t position, const Run& candidate) { return position < candidate.end; });
  while (from < to) {
    const size_t end = std::min(to, run->end);
    append(bytes.substr(from, end - from), run->trusted);
    from = end;
    ++run;
  }
}

TrackedText TrackedText::range(size_t from, size_t to) const {
  TrackedText result;
  result.append_range(*this, from, std::max(from, to));
  return result;
}

bool TrackedText::trusted_at(size_t position) const {
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), position,
                                    [](size_t at, const Run& candidate) { return at < candidate.end; });
  return run != runs_.end() && run->trusted;
}

size_t TrackedText::length() const {
  if (unicode::is_ascii(bytes_)) return bytes_.size();
  size_t count = 0;
  for (TextReader reader(*this); !reader.done(); ++count) reader.next();
  return count;
}

size_t TrackedText::offset_of(size_t index) const {
  if (unicode::is_ascii(bytes_)) return std::min(index, bytes_.size());
  TextReader reader(*this);
  size_t end = 0;
  for (; index > 0 && !reader.done(); --index) end = reader.next().end;
  return end;
}

TextReader::Character TextReader::next() {
  const size_t start = position_;
  uint32_t code_point = 0;
  position_ += decode_character(text_.bytes(), start, code_point);
  while (text_.runs()[run_].end <= start) ++run_;
  return {code_point, start, position_, text_.runs()[run_].trusted};
}

uint32_t decode_character(std::string_view bytes, size_t position, uint32_t& code_point) {
  const auto byte = static_cast<uint8_t>(bytes[position]);
  if (byte < 0x80) {
    code_point = byte;
    return 1;
  }
  const unicode::Sequence sequence = unicode::inspect(bytes, position);
  if (!sequence.valid) {
    code_point = kInvalid + byte;
    return 1;
  }
  code_point = unicode::read_valid(bytes.data() + position).value;
  return sequence.size_bytes;
}

bool is_python_space(uint32_t c) { return (c >= 0x1C && c <= 0x1F) || (c < kInvalid && unicode::is_white_space(c)); }

uint32_t to_upper(uint32_t c) {
  return c < kInvalid ? static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))) : c;
}
uint32_t to_lower(uint32_t c) {
  return c < kInvalid ? static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))) : c;
}
uint32_t to_title(uint32_t c) {
  return c < kInvalid ? static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))) : c;
}
bool is_upper(uint32_t c) { return c < kInvalid && utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_lower(uint32_t c) { return c < kInvalid && utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }

ByteRange strip_range(std::string_view bytes, const std::string* set, bool left, bool right) {
  const auto strips = [&](uint32_t c) { return set != nullptr ? set_contains(*set, c) : is_python_space(c); };
  size_t from = 0;
  while (left && from < bytes.size()) {
    uint32_t c = 0;
    const uint32_t size = decode_character(bytes, from, c);
    if (!strips(c)) break;
    from += size;
  }
  // Forward through what is left: the end after the last character that stays.
  size_t to = right ? from : bytes.size();
  for (size_t position = from; right && position < bytes.size();) {
    uint32_t c = 0;
    position += decode_character(bytes, position, c);
    if (!strips(c)) to = position;
  }
  return {from, to};
}

}  // namespace fastserve::jinja
