// The parser's view of the tokens: look at the current one, take it, or fail by name.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/format.h"
#include "text/jinja/jinja_lexer.h"
#include "text/jinja/jinja_value.h"

namespace fastserve::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[position_]; }
  const Token& look_ahead() const { return tokens_[position_ + 1 < tokens_.size() ? position_ + 1 : position_]; }
  size_t line() const { return current().line; }
  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_operator(std::string_view text) const { return is(TokenKind::kOperator) && current().text == text; }
  bool is_name(std::string_view text) const { return is(TokenKind::kName) && current().text == text; }

  Token take() {
    Token token = current();
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }
  bool skip_operator(std::string_view text) { return is_operator(text) && skip(); }
  bool skip_name(std::string_view text) { return is_name(text) && skip(); }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) fail_here(format("expected '", text, "', got ", describe()));
  }
  void expect_name(std::string_view text) {
    if (!skip_name(text)) fail_here(format("expected '", text, "', got ", describe()));
  }
  void expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) fail_here(format("expected ", what, ", got ", describe()));
    take();
  }
  std::string expect_any_name() {
    if (!is(TokenKind::kName)) fail_here(format("expected a name, got ", describe()));
    return take().text;
  }
  [[noreturn]] void fail_here(std::string message) const { throw TemplateFailure{std::move(message), line()}; }

  std::string describe() const {
    switch (current().kind) {
      case TokenKind::kData:
        return "text";
      case TokenKind::kBlockBegin:
        return "'{%'";
      case TokenKind::kBlockEnd:
        return "'%}'";
      case TokenKind::kVariableBegin:
        return "'{{'";
      case TokenKind::kVariableEnd:
        return "'}}'";
      case TokenKind::kEnd:
        return "the end of the template";
      case TokenKind::kString:
        return "a string";
      default:
        return format("'", current().text, "'");
    }
  }

 private:
  bool skip() {
    take();
    return true;
  }

  std::vector<Token> tokens_;
  size_t position_ = 0;
};

}  // namespace fastserve::jinja
