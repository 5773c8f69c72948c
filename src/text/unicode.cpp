// Code points: UTF-8 by a state machine over lead bytes, categories by binary search over runs.
#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

namespace fastserve::unicode {
namespace {

constexpr uint32_t kCategoryRuns[] = {
#include "text/tables/unicode_categories.inc"
};

constexpr uint32_t kCategoryMask = 31;

// Bytes that a lead byte announces, 0 for one that begins nothing; and the bounds of the byte after it.
struct Lead {
  uint32_t size = 0;
  uint8_t second_low = 0x80, second_high = 0xBF;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

}  // namespace

Category category(uint32_t code_point) {
  const uint32_t key = code_point << 5 | kCategoryMask;
  const uint32_t* run = std::upper_bound(std::begin(kCategoryRuns), std::end(kCategoryRuns), key);
  return static_cast<Category>(run[-1] & kCategoryMask);
}

bool is_white_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

Class classify(uint32_t c) {
  if (c < 0x80) {
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return Class::kLetter;
    if (c >= '0' && c <= '9') return Class::kNumber;
    return is_white_space(c) ? Class::kSpace : Class::kOther;
  }
  const Category found = category(c);
  if (is_letter(found)) return Class::kLetter;
  if (is_number(found)) return Class::kNumber;
  return is_white_space(c) ? Class::kSpace : Class::kOther;
}

CodePoint read_valid(const char* text) {
  const auto byte = [&](int i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

Sequence inspect(std::string_view bytes, size_t position) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const Lead lead = lead_of(byte(position));
  if (lead.size == 0) return {1, false, true};
  for (uint32_t i = 1; i < lead.size; ++i) {
    if (position + i >= bytes.size()) return {i, false, false};
    const uint8_t low = i == 1 ? lead.second_low : 0x80, high = i == 1 ? lead.second_high : 0xBF;
    if (byte(position + i) < low || byte(position + i) > high) return {i, false, true};
  }
  return {lead.size, true, true};
}

size_t valid_prefix_bytes(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    if (text.size() - position >= 8) {
      uint64_t word;
      std::memcpy(&word, text.data() + position, 8);
      if ((word & 0x8080808080808080u) == 0) {
        position += 8;
        continue;
      }
    }
    const Sequence sequence = inspect(text, position);
    if (!sequence.valid) return position;
    position += sequence.size_bytes;
  }
  return position;
}

void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t grapheme_end(std::string_view text, size_t start) {
  CodePoint c = read_valid(text.data() + start);
  utf8proc_int32_t state = 0, before = static_cast<utf8proc_int32_t>(c.value);
  size_t position = start + c.size_bytes;
  while (position < text.size()) {
    c = read_valid(text.data() + position);
    const auto next = static_cast<utf8proc_int32_t>(c.value);
    if (utf8proc_grapheme_break_stateful(before, next, &state)) break;
    before = next;
    position += c.size_bytes;
  }
  return position;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

namespace {

// Whether `c` may combine with, or be reordered among, what stands before it in some normal form: marks, the later
// letters of Hangul syllables, half-width sound marks and letters.
bool may_join_before(uint32_t c) {
  if (c < 0x300) return false;
  if ((c >= 0x1160 && c <= 0x11FF) || (c >= 0x3131 && c <= 0x318E) || (c >= 0xFF9E && c <= 0xFFDC)) return true;
  return is_mark(category(c)) || utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class != 0;
}

}  // namespace

size_t normalisation_end(std::string_view text, size_t start) {
  size_t position = start + read_valid(text.data() + start).size_bytes;
  while (position < text.size()) {
    const CodePoint c = read_valid(text.data() + position);
    if (!may_join_before(c.value)) break;
    position += c.size_bytes;
  }
  return position;
}

std::string normalise(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> points;
  const auto decompose = [&] {
    return utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                              static_cast<utf8proc_ssize_t>(text.size()), points.data(),
                              static_cast<utf8proc_ssize_t>(points.size()), options);
  };
  points.resize(text.size());
  utf8proc_ssize_t count = decompose();
  if (count > static_cast<utf8proc_ssize_t>(points.size())) {
    points.resize(static_cast<size_t>(count));
    count = decompose();
  }
  if (count >= 0) count = utf8proc_normalize_utf32(points.data(), count, options);
  if (count < 0) return std::string(text);  // only of text that is not UTF-8
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(static_cast<uint32_t>(points[static_cast<size_t>(i)]), out);
  return out;
}

}  // namespace fastserve::unicode
