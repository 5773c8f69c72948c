// Patterns go to PCRE2; literals and classes need no engine.
#include "text/matcher.h"

#include <utility>

#include "text/unicode.h"

namespace fastserve {
namespace {

class RegexMatcher final : public Matcher {
 public:
  explicit RegexMatcher(Regex regex) : regex_(std::move(regex)) {}
  Status find_all(std::string_view text, std::vector<TextRange>& matches) const override {
    return regex_.find_all(text, matches);
  }

 private:
  Regex regex_;
};

class LiteralMatcher final : public Matcher {
 public:
  explicit LiteralMatcher(std::string literal) : literal_(std::move(literal)) {}
  Status find_all(std::string_view text, std::vector<TextRange>& matches) const override {
    if (literal_.empty()) return {};
    for (size_t at = text.find(literal_); at != std::string_view::npos;
         at = text.find(literal_, at + literal_.size())) {
      matches.push_back({at, at + literal_.size()});
    }
    return {};
  }

 private:
  std::string literal_;
};

class CodePointMatcher final : public Matcher {
 public:
  explicit CodePointMatcher(bool (*wanted)(uint32_t)) : wanted_(wanted) {}
  Status find_all(std::string_view text, std::vector<TextRange>& matches) const override {
    for (size_t at = 0; at < text.size();) {
      const unicode::CodePoint c = unicode::read_valid(text.data() + at);
      if (wanted_(c.value)) matches.push_back({at, at + c.size_bytes});
      at += c.size_bytes;
    }
    return {};
  }

 private:
  bool (*wanted_)(uint32_t);
};

}  // namespace

std::unique_ptr<Matcher> create_regex_matcher(Regex regex) { return std::make_unique<RegexMatcher>(std::move(regex)); }
std::unique_ptr<Matcher> create_literal_matcher(std::string literal) {
  return std::make_unique<LiteralMatcher>(std::move(literal));
}
std::unique_ptr<Matcher> create_code_point_matcher(bool (*wanted)(uint32_t)) {
  return std::make_unique<CodePointMatcher>(wanted);
}

}  // namespace fastserve
