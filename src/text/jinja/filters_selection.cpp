// Filters that choose, order and group items by what they are or hold.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "text/jinja/case_mapping.h"
#include "text/jinja/filter_table.h"
#include "text/jinja/string_literal.h"

namespace fastserve::jinja {
namespace {

// What "a.b.0" or 0 names in an item; several separated by commas give a tuple.
Value attribute_path(Evaluator& evaluator, const Value& item, std::string_view path) {
  Value value = item;
  while (!path.empty()) {
    const size_t end = std::min(path.find('.'), path.size());
    const std::string_view part = path.substr(0, end);
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    value = evaluator.item(value, digits ? Value::integer(parse_int(part, 10).value_or(0)) : Value::text(part, true));
    path = end < path.size() ? path.substr(end + 1) : std::string_view();
  }
  return value;
}

Value by_attribute(Evaluator& evaluator, const Value& item, const Value* attribute, const Value* otherwise = nullptr) {
  if (attribute == nullptr || attribute->is(ValueKind::kNone)) return item;
  Value found = attribute->is(ValueKind::kText) ? attribute_path(evaluator, item, attribute->bytes())
                                                : evaluator.item(item, *attribute);
  return found.is(ValueKind::kUndefined) && otherwise != nullptr ? *otherwise : found;
}

Value fold_case(const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is(ValueKind::kText)) return value;
  return Value::text(map_case(value.as_text(), CaseMapping::kLower));
}

// The key that sort, unique, min, max and groupby compare: attributes of a comma-separated list, case folded.
Value comparison_key(Evaluator& evaluator, const Value& item, const Value* attribute, bool case_sensitive) {
  if (attribute != nullptr && attribute->is(ValueKind::kText) && attribute->bytes().find(',') != std::string::npos) {
    std::vector<Value> keys;
    std::string_view rest = attribute->bytes();
    for (;;) {
      const size_t comma = std::min(rest.find(','), rest.size());
      keys.push_back(fold_case(attribute_path(evaluator, item, rest.substr(0, comma)), case_sensitive));
      if (comma == rest.size()) break;
      rest.remove_prefix(comma + 1);
    }
    return Value::list(std::move(keys));
  }
  return fold_case(by_attribute(evaluator, item, attribute), case_sensitive);
}

struct Keyed {
  Value key;
  Value item;
};

std::vector<Keyed> add_keys(Evaluator& evaluator, const Value& input, const Value* attribute, bool case_sensitive) {
  std::vector<Keyed> keyed;
  for (Value& item : iterate(input)) {
    evaluator.charge_steps(4);
    Value key = comparison_key(evaluator, item, attribute, case_sensitive);
    keyed.push_back({std::move(key), std::move(item)});
  }
  return keyed;
}

// Fails, before any sort, where Python's comparisons would: keys must have an order with one another.
void sort_keyed(std::vector<Keyed>& keyed, bool reverse) {
  for (size_t i = 1; i < keyed.size(); ++i) compare(keyed[i - 1].key, keyed[i].key);
  std::stable_sort(keyed.begin(), keyed.end(), [reverse](const Keyed& a, const Keyed& b) {
    return reverse ? compare(b.key, a.key) < 0 : compare(a.key, b.key) < 0;
  });
}

Value filter_sort(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Keyed> keyed = add_keys(evaluator, input, parameters.find(2), parameters.boolean(1, false));
  // Jinja compares lists of keys: equal ones, even undefined, need no order.
  for (Keyed& entry : keyed) entry.key = Value::list({std::move(entry.key)});
  sort_keyed(keyed, parameters.boolean(0, false));
  std::vector<Value> items;
  for (Keyed& entry : keyed) items.push_back(std::move(entry.item));
  return Value::list(std::move(items));
}

Value filter_unique(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("unique", arguments, {"case_sensitive", "attribute"});
  std::vector<Value> items;
  std::vector<Value> seen;
  for (Keyed& entry : add_keys(evaluator, input, parameters.find(1), parameters.boolean(0, false))) {
    evaluator.charge_steps(1 + seen.size() / 8);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& key) { return equal(key, entry.key); })) continue;
    seen.push_back(std::move(entry.key));
    items.push_back(std::move(entry.item));
  }
  return Value::list(std::move(items));
}

Value find_extreme(Evaluator& evaluator, const Value& input, Arguments& arguments, bool largest) {
  const Parameters parameters(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  std::vector<Keyed> keyed = add_keys(evaluator, input, parameters.find(1), parameters.boolean(0, false));
  if (keyed.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  for (size_t i = 1; i < keyed.size(); ++i) {
    const int order = compare(keyed[i].key, keyed[best].key);
    if (largest ? order > 0 : order < 0) best = i;
  }
  return keyed[best].item;
}

Value filter_min(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return find_extreme(evaluator, input, arguments, false);
}
Value filter_max(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return find_extreme(evaluator, input, arguments, true);
}

Value filter_groupby(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("groupby", arguments, {"attribute", "default", "case_sensitive"});
  const Value& attribute = parameters.required(0);
  const bool case_sensitive = parameters.boolean(2, false);
  std::vector<Keyed> keyed;
  for (Value& item : iterate(input)) {
    evaluator.charge_steps(4);
    Value key = fold_case(by_attribute(evaluator, item, &attribute, parameters.find(1)), case_sensitive);
    keyed.push_back({std::move(key), std::move(item)});
  }
  sort_keyed(keyed, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < keyed.size();) {
    std::vector<Value> members;
    size_t end = i;
    for (; end < keyed.size() && equal(keyed[end].key, keyed[i].key); ++end) members.push_back(keyed[end].item);
    // The group's name is the first member's own, not its folded form.
    Value name = by_attribute(evaluator, keyed[i].item, &attribute, parameters.find(1));
    groups.push_back(Value::tuple({std::move(name), Value::list(std::move(members))}));
    i = end;
  }
  return Value::list(std::move(groups));
}

Value filter_map(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  std::vector<Value> results;
  if (arguments.positional.empty()) {
    const Parameters parameters("map", arguments, {"attribute", "default"});
    if (!parameters.given(0)) fail("map requires a filter argument");
    for (const Value& item : iterate(input)) {
      evaluator.charge_steps(2);
      results.push_back(by_attribute(evaluator, item, parameters.find(0), parameters.find(1)));
    }
    return Value::list(std::move(results));
  }
  if (!arguments.positional[0].is(ValueKind::kText)) fail("map: the filter's name must be a string");
  const std::string name = arguments.positional[0].bytes();
  arguments.positional.erase(arguments.positional.begin());
  for (const Value& item : iterate(input)) {
    Arguments copied = arguments;
    results.push_back(evaluator.apply_filter(name, item, copied));
  }
  return Value::list(std::move(results));
}

// select, reject, selectattr, rejectattr: [attribute,] [test, arguments ...]
Value choose(Evaluator& evaluator, const Value& input, Arguments& arguments, bool with_attribute, bool wanted) {
  Value attribute = Value::none();
  if (with_attribute) {
    if (arguments.positional.empty()) fail("Missing parameter for attribute name");
    attribute = arguments.positional[0];
    arguments.positional.erase(arguments.positional.begin());
  }
  std::string test;
  if (!arguments.positional.empty()) {
    if (!arguments.positional[0].is(ValueKind::kText)) fail("the test's name must be a string");
    test = arguments.positional[0].bytes();
    arguments.positional.erase(arguments.positional.begin());
  }
  std::vector<Value> chosen;
  for (Value& item : iterate(input)) {
    evaluator.charge_steps(1);
    const Value subject = by_attribute(evaluator, item, &attribute);
    Arguments copied = arguments;
    const bool passes = test.empty() ? subject.truthy() : evaluator.apply_test(test, subject, copied);
    if (passes == wanted) chosen.push_back(std::move(item));
  }
  return Value::list(std::move(chosen));
}

Value filter_select(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return choose(evaluator, input, arguments, false, true);
}
Value filter_reject(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return choose(evaluator, input, arguments, false, false);
}
Value filter_selectattr(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return choose(evaluator, input, arguments, true, true);
}
Value filter_rejectattr(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return choose(evaluator, input, arguments, true, false);
}

constexpr auto kFilters = std::to_array<FilterEntry>({
    {"sort", filter_sort},
    {"unique", filter_unique},
    {"min", filter_min},
    {"max", filter_max},
    {"groupby", filter_groupby},
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
});

}  // namespace

std::span<const FilterEntry> selection_filters() { return kFilters; }

}  // namespace fastserve::jinja
