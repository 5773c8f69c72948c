// Tokens to a tree. Precedence and forms are those of Jinja 3.1 with the loop control and generation extensions.
#pragma once
#include <string_view>

#include "text/jinja/jinja_ast.h"

namespace fastserve::jinja {

// Fails with TemplateFailure (line and reason).
Body parse_template(std::string_view source);

}  // namespace fastserve::jinja
