// Text that knows, for every byte, whether the template's author or someone else wrote it. Immutable once in a Value.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fastserve::jinja {

class TrackedText {
 public:
  TrackedText() = default;
  TrackedText(std::string_view bytes, bool trusted) { append(bytes, trusted); }

  const std::string& bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  size_t size_bytes() const { return bytes_.size(); }

  void append(std::string_view bytes, bool trusted);
  void append(const TrackedText& other) { append_range(other, 0, other.size_bytes()); }
  void append_range(const TrackedText& other, size_t from, size_t to);
  TrackedText range(size_t from, size_t to) const;

  // Whether the byte at `position` is the template's own.
  bool trusted_at(size_t position) const;
  bool all_trusted() const { return runs_.empty() || (runs_.size() == 1 && runs_[0].trusted); }

  // A maximal range of one origin, by its end.
  struct Run {
    size_t end;
    bool trusted;
  };
  const std::vector<Run>& runs() const { return runs_; }

  // Code points; a byte that is no valid UTF-8 counts as one.
  size_t length() const;
  // Byte offset of a code point; size_bytes() for what lies beyond.
  size_t offset_of(size_t index) const;

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

// One character at a time, with its origin.
class TextReader {
 public:
  explicit TextReader(const TrackedText& text) : text_(text) {}
  bool done() const { return position_ >= text_.size_bytes(); }
  struct Character {
    uint32_t code_point;  // of an invalid byte: 0x110000 + byte
    size_t start, end;    // bytes
    bool trusted;
  };
  Character next();

 private:
  const TrackedText& text_;
  size_t position_ = 0;
  size_t run_ = 0;
};

// Size of the character at `position` and its code point (0x110000 + byte where invalid).
uint32_t decode_character(std::string_view bytes, size_t position, uint32_t& code_point);

// As Python's str.isspace on one character.
bool is_python_space(uint32_t code_point);
uint32_t to_upper(uint32_t code_point);
uint32_t to_lower(uint32_t code_point);
uint32_t to_title(uint32_t code_point);
// Python's "cased" characters, for title() and isupper().
bool is_upper(uint32_t code_point);
bool is_lower(uint32_t code_point);

// Range of `bytes` left when characters of `set` (white space if null) are stripped from the chosen ends.
struct ByteRange {
  size_t from, to;
};
ByteRange strip_range(std::string_view bytes, const std::string* set, bool left, bool right);

}  // namespace fastserve::jinja
