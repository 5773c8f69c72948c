// Functions that every template sees.
#include "base/format.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/parameters.h"

namespace fastserve::jinja {
namespace {

constexpr uint64_t kRangeMax = 100'000;  // as Jinja's sandbox

Value make_range(Evaluator& evaluator, Arguments& arguments) {
  const Parameters parameters("range", arguments, {"start", "stop", "step"});
  parameters.required(0);
  int64_t start = parameters.integer(0, 0);
  int64_t stop = 0;
  if (parameters.given(1)) {
    stop = parameters.integer(1, 0);
  } else {
    stop = start;
    start = 0;
  }
  const int64_t step = parameters.integer(2, 1);
  if (step == 0) fail("range() arg 3 must not be zero");
  const auto distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                 : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const bool empty = step > 0 ? stop <= start : stop >= start;
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  const uint64_t count = empty ? 0 : (distance - 1) / stride + 1;
  if (count > kRangeMax) {
    fail(format("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kRangeMax, ")."));
  }
  evaluator.charge_steps(count);
  std::vector<Value> items;
  for (uint64_t i = 0; i < count; ++i) {
    items.push_back(
        Value::integer(static_cast<int64_t>(static_cast<uint64_t>(start) + i * static_cast<uint64_t>(step))));
  }
  return Value::list(std::move(items));
}

// dict(mapping or pairs, name=value ...)
std::vector<Value::Entry> collect_entries(std::string_view name, Arguments& arguments) {
  std::vector<Value::Entry> entries;
  if (arguments.positional.size() > 1) fail(format(name, " expected at most 1 argument"));
  for (const Value& source : arguments.positional) {
    if (source.is(ValueKind::kDict)) {
      entries = source.entries();
      continue;
    }
    for (const Value& pair : iterate(source)) {
      const std::vector<Value> parts = iterate(pair);
      if (parts.size() != 2)
        fail(format(name, " update sequence element has length ", parts.size(), "; 2 is required"));
      entries.emplace_back(parts[0], parts[1]);
    }
  }
  for (auto& [key, value] : arguments.named) entries.emplace_back(Value::text(key, true), value);
  return entries;
}

Value make_dict(Evaluator& evaluator, Arguments& arguments) {
  std::vector<Value::Entry> entries = collect_entries("dict", arguments);
  evaluator.charge_steps(entries.size());
  return Value::dict(std::move(entries));
}

Value make_namespace(Evaluator& evaluator, Arguments& arguments) {
  std::vector<std::pair<std::string, Value>> attributes;
  const Value entries = Value::dict(collect_entries("namespace", arguments));
  for (const auto& [key, value] : entries.entries()) {
    if (!key.is(ValueKind::kText) || key.bytes().starts_with('_')) fail("a namespace cannot hold this name");
    attributes.emplace_back(key.bytes(), value);
  }
  return evaluator.make_namespace(std::move(attributes));
}

Value raise_exception(Evaluator&, Arguments& arguments) {
  const Parameters parameters("raise_exception", arguments, {"message"});
  fail(to_text(parameters.required(0)).bytes());
}

Value strftime_now(Evaluator& evaluator, Arguments& arguments) {
  const Parameters parameters("strftime_now", arguments, {"format"});
  const TrackedText& pattern = parameters.required_text(0);
  evaluator.charge_text(pattern.size_bytes() * 8);
  return Value::text(format_time(evaluator.now_seconds(), pattern.bytes()), pattern.all_trusted());
}

Value make_joiner(Evaluator&, Arguments& arguments) {
  const Parameters parameters("joiner", arguments, {"sep"});
  const Value separator = parameters.given(0) ? *parameters.find(0) : Value::text(", ", true);
  const auto used = std::make_shared<bool>(false);
  return make_callable(
      "joiner",
      [separator, used](Evaluator&, Arguments&) {
        const bool first = !*used;
        *used = true;
        return first ? Value::text("", true) : separator;
      },
      separator.depth() + 1);
}

Value make_cycler(Evaluator& evaluator, Arguments& arguments) {
  if (arguments.positional.empty()) fail("at least one item has to be provided");
  const Value items = Value::list(std::move(arguments.positional));
  const Value cycler = evaluator.make_namespace({{"current", items.items()[0]}});
  // The evaluator keeps every namespace until the end, so that the functions may point to it.
  const auto* space = static_cast<const NamespaceObject*>(cycler.object());
  const auto position = std::make_shared<size_t>(0);
  const auto move_to = [space, items, position](size_t index) {
    *position = index % items.items().size();
    *space->find("current") = items.items()[*position];
  };
  space->attributes.emplace_back("next", make_callable(
                                             "next",
                                             [items, position, move_to](Evaluator&, Arguments&) {
                                               Value current = items.items()[*position];
                                               move_to(*position + 1);
                                               return current;
                                             },
                                             items.depth() + 1));
  space->attributes.emplace_back("reset", make_callable(
                                              "reset",
                                              [move_to](Evaluator&, Arguments&) {
                                                move_to(0);
                                                return Value::none();
                                              },
                                              items.depth() + 1));
  return cycler;
}

}  // namespace

void add_builtin_globals(std::vector<std::pair<std::string_view, Value>>& globals) {
  globals.emplace_back("range", make_callable("range", make_range));
  globals.emplace_back("dict", make_callable("dict", make_dict));
  globals.emplace_back("namespace", make_callable("namespace", make_namespace));
  globals.emplace_back("raise_exception", make_callable("raise_exception", raise_exception));
  globals.emplace_back("strftime_now", make_callable("strftime_now", strftime_now));
  globals.emplace_back("joiner", make_callable("joiner", make_joiner));
  globals.emplace_back("cycler", make_callable("cycler", make_cycler));
}

}  // namespace fastserve::jinja
