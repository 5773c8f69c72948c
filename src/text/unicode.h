// Code points: UTF-8 reading and checking, general categories (Unicode 16.0), normal forms.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastserve::unicode {

// General categories; the numbers are those of tables/unicode_categories.inc.
enum class Category : uint8_t {
  kCn,
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
};

// Coarse classes as pre-tokenisers use them. `kSpace` is the White_Space property.
enum class Class : uint8_t { kOther, kLetter, kNumber, kSpace };

Category category(uint32_t code_point);
Class classify(uint32_t code_point);
bool is_white_space(uint32_t code_point);
inline bool is_letter(Category c) { return c >= Category::kLu && c <= Category::kLo; }
inline bool is_mark(Category c) { return c >= Category::kMn && c <= Category::kMe; }
inline bool is_number(Category c) { return c >= Category::kNd && c <= Category::kNo; }
inline bool is_punctuation(Category c) { return c >= Category::kPc && c <= Category::kPo; }
inline bool is_symbol(Category c) { return c >= Category::kSm && c <= Category::kSo; }

struct CodePoint {
  uint32_t value = 0;
  uint32_t size_bytes = 0;  // 1-4
};

// Reads one code point of valid UTF-8.
CodePoint read_valid(const char* text);

// Length of the longest valid prefix: text.size() when all of it is valid UTF-8.
size_t valid_prefix_bytes(std::string_view text);

// What stands at `position` of bytes that may be anything. `complete` false: the bytes at the end are the beginning of
// a code point. `size_bytes` of an invalid sequence is its maximal valid beginning, at least 1 (one U+FFFD each).
struct Sequence {
  uint32_t size_bytes = 0;
  bool valid = false;
  bool complete = true;
};
Sequence inspect(std::string_view bytes, size_t position);

void append_utf8(uint32_t code_point, std::string& out);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// `text` must be valid UTF-8; NUL is kept.
std::string normalise(std::string_view text, NormalForm form);
// End of the shortest stretch from `start` that normalises by itself, whatever the form.
size_t normalisation_end(std::string_view text, size_t start);
// End of the extended grapheme cluster (what a reader takes for one character) that begins at `start`.
size_t grapheme_end(std::string_view text, size_t start);
bool is_ascii(std::string_view text);

}  // namespace fastserve::unicode
