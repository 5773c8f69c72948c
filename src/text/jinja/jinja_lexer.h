// Template source to tokens: text between tags (white space already trimmed as its tags ask), and the tags' tokens.
// White space follows transformers' settings: trim_blocks and lstrip_blocks on, one trailing line break dropped.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fastserve::jinja {

enum class TokenKind : uint8_t {
  kData,
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // data, name, operator; a string's content without escapes; digits of a number
  size_t line = 1;
};

// Fails with TemplateFailure. The source must be valid UTF-8.
std::vector<Token> tokenize_template(std::string_view source);

}  // namespace fastserve::jinja
