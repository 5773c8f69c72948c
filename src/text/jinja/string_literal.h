// Escapes of string literals, and numbers as Python reads them from text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fastserve::jinja {

// Python's escapes. Fails with TemplateFailure where one is cut short.
std::string unescape_literal(std::string_view text, size_t line);

// int(text, base) and float(text), white space around allowed; nothing where Python raises ValueError.
std::optional<int64_t> parse_int(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

}  // namespace fastserve::jinja
