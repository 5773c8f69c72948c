// What pre-tokenisers cut at and normalisers replace: a pattern, a literal text or a class of characters.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/regex.h"

namespace fastserve {

// Finds what to cut at or to replace; appends matches in order. An empty one is a place.
class Matcher {
 public:
  virtual ~Matcher() = default;
  virtual Status find_all(std::string_view text, std::vector<TextRange>& matches) const = 0;
};

std::unique_ptr<Matcher> create_regex_matcher(Regex regex);
std::unique_ptr<Matcher> create_literal_matcher(std::string literal);
// Each code point for which `wanted` holds.
std::unique_ptr<Matcher> create_code_point_matcher(bool (*wanted)(uint32_t code_point));

}  // namespace fastserve
