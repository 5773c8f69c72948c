// Errors read as Python's TypeErrors do.
#include "text/jinja/parameters.h"

#include <algorithm>

#include "base/format.h"

namespace fastserve::jinja {

Parameters::Parameters(std::string_view function, Arguments& arguments, std::initializer_list<std::string_view> names)
    : function_(function), values_(names.size()), names_(names) {
  if (arguments.positional.size() > names.size()) {
    fail(format(function, "() takes at most ", names.size(), " arguments (", arguments.positional.size(), " given)"));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) fail(format(function, "() got an unexpected keyword argument '", name, "'"));
    const auto index = static_cast<size_t>(found - names_.begin());
    if (values_[index] != nullptr) fail(format(function, "() got multiple values for argument '", name, "'"));
    values_[index] = &value;
  }
}

const Value& Parameters::required(size_t index) const {
  if (values_[index] == nullptr) fail(format(function_, "() missing required argument '", names_[index], "'"));
  return *values_[index];
}

int64_t Parameters::integer(size_t index, int64_t otherwise) const {
  if (values_[index] == nullptr) return otherwise;
  const Value& value = *values_[index];
  if (!value.is_integral()) {
    fail(format(function_, "(): '", names_[index], "' must be an integer, not '", value.type_name(), "'"));
  }
  return value.as_int();
}

const TrackedText* Parameters::text(size_t index) const {
  if (values_[index] == nullptr || values_[index]->is(ValueKind::kNone)) return nullptr;
  return &required_text(index);
}

const TrackedText& Parameters::required_text(size_t index) const {
  const Value& value = required(index);
  if (!value.is(ValueKind::kText)) {
    fail(format(function_, "(): '", names_[index], "' must be str, not ", value.type_name()));
  }
  return value.as_text();
}

}  // namespace fastserve::jinja
