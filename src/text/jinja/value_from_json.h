// Values from JSON text that a host passes: messages, tools, variables. All their text is untrusted.
#pragma once
#include <string_view>

#include "base/status.h"
#include "text/jinja/jinja_value.h"

namespace fastserve::jinja {

// `name` names the text in messages: "messages".
Result<Value> value_from_json(std::string_view text, std::string_view name);

}  // namespace fastserve::jinja
