// Unicode's categories, corrected where the origin's older tables differ.
#include "text/hf_classes.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "text/unicode.h"

namespace fastserve::hf {
namespace {

struct CodePointRange {
  uint32_t first, last;
};

#include "text/tables/hf_classes.inc"

constexpr CodePointRange kChinese[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                                       {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};

constexpr CodePointRange kDecomposableSinceUnicode12[] = {{0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},
                                                          {0x10781, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
                                                          {0x11938, 0x11938}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

bool holds(std::span<const CodePointRange> ranges, uint32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges.begin() && c <= after[-1].last;
}

}  // namespace

bool is_punctuation(uint32_t c) {
  if (c < 0x80) {
    return (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 0x7F);
  }
  return unicode::is_punctuation(unicode::category(c)) != holds(kPunctuationDiffers, c);
}

bool is_nonspacing_mark(uint32_t c) {
  return c >= 0x300 && (unicode::category(c) == unicode::Category::kMn) != holds(kNonspacingMarkDiffers, c);
}

bool is_mark(uint32_t c) { return c >= 0x300 && unicode::is_mark(unicode::category(c)) != holds(kMarkDiffers, c); }

bool is_control(uint32_t c) {
  const unicode::Category category = unicode::category(c);
  const bool control =
      category == unicode::Category::kCc || category == unicode::Category::kCf || category == unicode::Category::kCo;
  return control != holds(kControlDiffers, c);
}

bool is_decomposable_since_unicode_12(uint32_t c) { return c >= 0x32FF && holds(kDecomposableSinceUnicode12, c); }

bool is_chinese(uint32_t c) { return c >= 0x3400 && holds(kChinese, c); }

}  // namespace fastserve::hf
