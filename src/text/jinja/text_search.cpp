// All of it in byte ranges; separators match at character borders because both sides are UTF-8.
#include "text/jinja/text_search.h"

#include <algorithm>
#include <limits>

#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

struct Word {
  size_t from, to;
};

std::vector<Word> find_words(std::string_view bytes) {
  std::vector<Word> words;
  bool inside = false;
  for (size_t position = 0; position < bytes.size();) {
    uint32_t c = 0;
    const size_t start = position;
    position += decode_character(bytes, position, c);
    if (is_python_space(c)) {
      inside = false;
    } else if (inside) {
      words.back().to = position;
    } else {
      words.push_back({start, position});
      inside = true;
    }
  }
  return words;
}

// With splits left over the rest stays one piece: to the end (without its trailing space from the right only).
std::vector<ByteRange> split_words(std::string_view bytes, size_t max_splits, bool from_right) {
  const std::vector<Word> words = find_words(bytes);
  std::vector<ByteRange> ranges;
  if (words.size() <= max_splits + 1 || max_splits == std::numeric_limits<size_t>::max()) {
    for (const Word& word : words) ranges.push_back({word.from, word.to});
    // The last piece of a limited split from the left keeps the space behind it.
    if (!from_right && words.size() == max_splits + 1 && !ranges.empty()) ranges.back().to = bytes.size();
    if (from_right && words.size() == max_splits + 1 && !ranges.empty()) ranges.front().from = 0;
    return ranges;
  }
  if (from_right) {
    const size_t first = words.size() - max_splits;
    ranges.push_back({0, words[first - 1].to});
    for (size_t i = first; i < words.size(); ++i) ranges.push_back({words[i].from, words[i].to});
  } else {
    for (size_t i = 0; i < max_splits; ++i) ranges.push_back({words[i].from, words[i].to});
    ranges.push_back({words[max_splits].from, bytes.size()});
  }
  return ranges;
}

}  // namespace

std::vector<ByteRange> split_ranges(std::string_view bytes, const std::string* separator, int64_t max_splits,
                                    bool from_right) {
  const size_t limit = max_splits < 0 ? std::numeric_limits<size_t>::max() : static_cast<size_t>(max_splits);
  if (separator == nullptr) return split_words(bytes, limit, from_right);
  std::vector<ByteRange> ranges;
  if (!from_right) {
    size_t start = 0;
    for (size_t at; ranges.size() < limit && (at = bytes.find(*separator, start)) != std::string_view::npos;) {
      ranges.push_back({start, at});
      start = at + separator->size();
    }
    ranges.push_back({start, bytes.size()});
    return ranges;
  }
  size_t end = bytes.size();
  while (ranges.size() < limit && end >= separator->size()) {
    const size_t at = bytes.substr(0, end).rfind(*separator);
    if (at == std::string_view::npos) break;
    ranges.push_back({at + separator->size(), end});
    end = at;
  }
  ranges.push_back({0, end});
  std::reverse(ranges.begin(), ranges.end());
  return ranges;
}

std::vector<LineRange> line_ranges(std::string_view bytes) {
  const auto breaks = [](uint32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::vector<LineRange> lines;
  size_t from = 0;
  for (size_t position = 0; position < bytes.size();) {
    uint32_t c = 0;
    const size_t start = position;
    position += decode_character(bytes, position, c);
    if (!breaks(c)) continue;
    if (c == '\r' && position < bytes.size() && bytes[position] == '\n') ++position;
    lines.push_back({from, start, position});
    from = position;
  }
  if (from < bytes.size()) lines.push_back({from, bytes.size(), bytes.size()});
  return lines;
}

TrackedText replace_text(Evaluator& evaluator, const TrackedText& text, const TrackedText& old_text,
                         const TrackedText& new_text, int64_t max_count) {
  const std::string& bytes = text.bytes();
  TrackedText out;
  size_t start = 0;
  int64_t count = 0;
  const auto put_new = [&] {
    evaluator.charge_text(new_text.size_bytes());
    out.append(new_text);
    ++count;
  };
  if (old_text.empty()) {
    // Between all characters, and at both ends.
    for (TextReader reader(text); !reader.done();) {
      if (max_count >= 0 && count >= max_count) break;
      put_new();
      const TextReader::Character c = reader.next();
      out.append_range(text, c.start, c.end);
      start = c.end;
    }
    if (start == bytes.size() && (max_count < 0 || count < max_count)) put_new();
    out.append_range(text, start, bytes.size());
    return out;
  }
  while (max_count < 0 || count < max_count) {
    const size_t at = bytes.find(old_text.bytes(), start);
    if (at == std::string::npos) break;
    out.append_range(text, start, at);
    put_new();
    start = at + old_text.size_bytes();
  }
  out.append_range(text, start, bytes.size());
  return out;
}

TrackedText pad_text(const TrackedText& text, int64_t width, const TrackedText& fill, Alignment alignment) {
  const auto length = static_cast<int64_t>(text.length());
  if (width <= length) return text;
  const int64_t missing = width - length;
  // str.center puts the odd one left where the width is odd.
  int64_t left = alignment == Alignment::kLeft ? 0 : alignment == Alignment::kRight ? missing : 0;
  if (alignment == Alignment::kCenter) left = missing / 2 + (missing & width & 1);
  TrackedText out;
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < missing; ++i) out.append(fill);
  return out;
}

}  // namespace fastserve::jinja
