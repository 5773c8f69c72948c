// Filters on sequences and dicts that look at positions and keys alone.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "text/jinja/case_mapping.h"
#include "text/jinja/filter_table.h"

namespace fastserve::jinja {
namespace {

Value filter_length(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("length", arguments, {});
  return Value::integer(static_cast<int64_t>(length_of(input)));
}

Value filter_default(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("default", arguments, {"default_value", "boolean"});
  const bool missing = input.is(ValueKind::kUndefined) || (parameters.boolean(1, false) && !input.truthy());
  if (!missing) return input;
  return parameters.given(0) ? *parameters.find(0) : Value::text("", true);
}

Value filter_first(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("first", arguments, {});
  const std::vector<Value> items = iterate(input);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value filter_last(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("last", arguments, {});
  const std::vector<Value> items = iterate(input);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value filter_list(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("list", arguments, {});
  return Value::list(iterate(input));
}

Value filter_reverse(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("reverse", arguments, {});
  std::vector<Value> items = iterate(input);
  std::reverse(items.begin(), items.end());
  if (!input.is(ValueKind::kText)) return Value::list(std::move(items));
  TrackedText text;
  for (const Value& item : items) text.append(item.as_text());
  return Value::text(std::move(text));
}

Value filter_items(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("items", arguments, {});
  if (input.is(ValueKind::kUndefined)) return Value::list({});
  if (!input.is(ValueKind::kDict)) fail("Can only get item pairs from a mapping.");
  std::vector<Value> items;
  for (const auto& [key, value] : input.entries()) items.push_back(Value::tuple({key, value}));
  return Value::list(std::move(items));
}

// Text without regard to case, others as they are.
Value sort_key(const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is(ValueKind::kText)) return value;
  return Value::text(map_case(value.as_text(), CaseMapping::kLower));
}

Value filter_dictsort(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string_view by = parameters.given(1) ? std::string_view(parameters.required_text(1).bytes()) : "key";
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  if (!input.is(ValueKind::kDict)) fail(format("dictsort: '", input.type_name(), "' is no mapping"));
  const bool case_sensitive = parameters.boolean(0, false);
  const bool reverse = parameters.boolean(2, false);
  std::vector<std::pair<Value, Value>> keyed;  // sort key and (key, value)
  for (const auto& [key, value] : input.entries()) {
    keyed.emplace_back(sort_key(by == "key" ? key : value, case_sensitive), Value::tuple({key, value}));
  }
  evaluator.charge_steps(keyed.size());
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(a.first, b.first) > 0 : compare(a.first, b.first) < 0;
  });
  std::vector<Value> items;
  for (auto& [key, pair] : keyed) items.push_back(std::move(pair));
  return Value::list(std::move(items));
}

Value filter_batch(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("batch", arguments, {"linecount", "fill_with"});
  parameters.required(0);
  const int64_t size = parameters.integer(0, 1);
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (Value& item : iterate(input)) {
    if (static_cast<int64_t>(batch.size()) == size) batches.push_back(Value::list(std::exchange(batch, {})));
    batch.push_back(std::move(item));
  }
  if (!batch.empty()) {
    const bool fills = parameters.given(1) && !parameters.find(1)->is(ValueKind::kNone);
    if (fills) evaluator.charge_steps(static_cast<uint64_t>(size));
    while (fills && static_cast<int64_t>(batch.size()) < size) batch.push_back(*parameters.find(1));
    batches.push_back(Value::list(std::move(batch)));
  }
  return Value::list(std::move(batches));
}

Value filter_slice(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("slice", arguments, {"slices", "fill_with"});
  parameters.required(0);
  const int64_t slices = parameters.integer(0, 1);
  if (slices < 1) fail("slice: the count must be at least 1");
  evaluator.charge_steps(static_cast<uint64_t>(slices));
  const std::vector<Value> items = iterate(input);
  const size_t each = items.size() / static_cast<size_t>(slices);
  const size_t longer = items.size() % static_cast<size_t>(slices);
  const bool fills = parameters.given(1) && !parameters.find(1)->is(ValueKind::kNone);
  std::vector<Value> result;
  size_t position = 0;
  for (size_t i = 0; i < static_cast<size_t>(slices); ++i) {
    const size_t count = each + (i < longer ? 1 : 0);
    const auto from = items.begin() + static_cast<std::ptrdiff_t>(position);
    std::vector<Value> slice(from, from + static_cast<std::ptrdiff_t>(count));
    if (fills && i >= longer) slice.push_back(*parameters.find(1));
    result.push_back(Value::list(std::move(slice)));
    position += count;
  }
  return Value::list(std::move(result));
}

Value filter_attr(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("attr", arguments, {"name"});
  const std::string& name = parameters.required_text(0).bytes();
  // Attributes alone: no items of dicts.
  if (input.is(ValueKind::kDict)) {
    const Value method = find_container_method(input, name);
    if (!method.is(ValueKind::kUndefined)) return method;
    return Value::undefined(format("'dict object' has no attribute '", name, "'"));
  }
  return evaluator.attribute(input, name);
}

constexpr auto kFilters = std::to_array<FilterEntry>({
    {"length", filter_length},
    {"count", filter_length},
    {"default", filter_default},
    {"d", filter_default},
    {"first", filter_first},
    {"last", filter_last},
    {"list", filter_list},
    {"reverse", filter_reverse},
    {"items", filter_items},
    {"batch", filter_batch},
    {"slice", filter_slice},
    {"attr", filter_attr},
    {"dictsort", filter_dictsort},
});

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kFilters; }

}  // namespace fastserve::jinja
