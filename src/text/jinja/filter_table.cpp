// Look-up and call of filters and tests.
#include "text/jinja/filter_table.h"

#include "base/format.h"

namespace fastserve::jinja {
namespace {

Filter find_filter(std::string_view name) {
  for (const auto table : {text_filters(), number_filters(), sequence_filters(), selection_filters()}) {
    for (const FilterEntry& entry : table) {
      if (entry.name == name) return entry.filter;
    }
  }
  return nullptr;
}

}  // namespace

Value Evaluator::apply_filter(std::string_view name, const Value& input, Arguments& arguments) {
  const Filter filter = find_filter(name);
  if (filter == nullptr) fail(format("No filter named '", name, "'."));
  charge_value(input);
  return filter(*this, input, arguments);
}

bool Evaluator::apply_test(std::string_view name, const Value& input, Arguments& arguments) {
  const Test test = find_test(name);
  if (test == nullptr) fail(format("No test named '", name, "'."));
  charge_steps(1);
  return test(*this, input, arguments);
}

}  // namespace fastserve::jinja
