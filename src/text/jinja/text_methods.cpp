// Methods of str that templates use. Every character of a result keeps its origin.
#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/format.h"
#include "text/jinja/case_mapping.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/parameters.h"
#include "text/jinja/text_search.h"
#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

using Method = Value (*)(Evaluator& evaluator, const TrackedText& text, Arguments& arguments);

Value strip(std::string_view name, const TrackedText& text, Arguments& arguments, bool left, bool right) {
  const Parameters parameters(name, arguments, {"chars"});
  const TrackedText* set = parameters.text(0);
  const ByteRange range = strip_range(text.bytes(), set != nullptr ? &set->bytes() : nullptr, left, right);
  return Value::text(text.range(range.from, range.to));
}

Value split(Evaluator& evaluator, std::string_view name, const TrackedText& text, Arguments& arguments,
            bool from_right) {
  const Parameters parameters(name, arguments, {"sep", "maxsplit"});
  const TrackedText* separator = parameters.text(0);
  if (separator != nullptr && separator->empty()) fail("empty separator");
  const int64_t count = parameters.integer(1, -1);
  const std::vector<ByteRange> ranges =
      split_ranges(text.bytes(), separator != nullptr ? &separator->bytes() : nullptr, count, from_right);
  evaluator.charge_steps(ranges.size());
  std::vector<Value> pieces;
  for (const ByteRange& range : ranges) pieces.push_back(Value::text(text.range(range.from, range.to)));
  return Value::list(std::move(pieces));
}

// startswith and endswith: one text or a tuple of them.
Value matches_end(std::string_view name, const TrackedText& text, Arguments& arguments, bool at_start) {
  const Parameters parameters(name, arguments, {"prefix"});
  const Value& wanted = parameters.required(0);
  const auto matches = [&](const Value& candidate) {
    if (!candidate.is(ValueKind::kText)) {
      fail(format(name, " first arg must be str or a tuple of str, not ", candidate.type_name()));
    }
    return at_start ? text.bytes().starts_with(candidate.bytes()) : text.bytes().ends_with(candidate.bytes());
  };
  if (!wanted.is(ValueKind::kTuple)) return Value::boolean(matches(wanted));
  return Value::boolean(std::any_of(wanted.items().begin(), wanted.items().end(), matches));
}

Value find(std::string_view name, const TrackedText& text, Arguments& arguments, bool from_right, bool must_exist) {
  const Parameters parameters(name, arguments, {"sub", "start", "end"});
  const std::string& wanted = parameters.required_text(0).bytes();
  const auto length = static_cast<int64_t>(text.length());
  const auto bound = [&](size_t index, int64_t otherwise) {
    if (!parameters.given(index) || parameters.find(index)->is(ValueKind::kNone)) return otherwise;
    const int64_t given = parameters.integer(index, otherwise);
    return std::clamp<int64_t>(given < 0 ? given + length : given, 0, length);
  };
  const size_t from = text.offset_of(static_cast<size_t>(bound(1, 0)));
  const size_t to = text.offset_of(static_cast<size_t>(bound(2, length)));
  const std::string_view area = std::string_view(text.bytes()).substr(0, std::max(from, to));
  const std::string_view searched = area.substr(std::min(from, area.size()));
  const size_t position = from > to    ? std::string_view::npos
                          : from_right ? searched.rfind(wanted)
                                       : searched.find(wanted);
  if (position == std::string_view::npos) {
    if (must_exist) fail("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<int64_t>(text.range(0, from + position).length()));
}

Value partition(const TrackedText& text, Arguments& arguments, bool from_right) {
  const Parameters parameters("partition", arguments, {"sep"});
  const TrackedText& separator = parameters.required_text(0);
  if (separator.empty()) fail("empty separator");
  const size_t position = from_right ? text.bytes().rfind(separator.bytes()) : text.bytes().find(separator.bytes());
  if (position == std::string::npos) {
    std::vector<Value> parts(3, Value::text("", true));
    parts[from_right ? 2 : 0] = Value::text(text);
    return Value::tuple(std::move(parts));
  }
  const size_t after = position + separator.size_bytes();
  return Value::tuple({Value::text(text.range(0, position)), Value::text(text.range(position, after)),
                       Value::text(text.range(after, text.size_bytes()))});
}

Value pad(Evaluator& evaluator, std::string_view name, const TrackedText& text, Arguments& arguments,
          Alignment alignment) {
  const Parameters parameters(name, arguments, {"width", "fillchar"});
  parameters.required(0);
  const TrackedText space(" ", true);
  const TrackedText* fill = parameters.given(1) ? &parameters.required_text(1) : &space;
  if (fill->length() != 1) fail("The fill character must be exactly one character long");
  const int64_t width = parameters.integer(0, 0);
  if (width > 0) evaluator.charge_text(static_cast<uint64_t>(width) * 4);
  return Value::text(pad_text(text, width, *fill, alignment));
}

Value join(Evaluator& evaluator, const TrackedText& text, Arguments& arguments) {
  const Parameters parameters("join", arguments, {"iterable"});
  TrackedText out;
  bool first = true;
  for (const Value& item : iterate(parameters.required(0))) {
    if (!item.is(ValueKind::kText)) fail(format("sequence item: expected str instance, ", item.type_name(), " found"));
    evaluator.charge_text(text.size_bytes() + item.bytes().size());
    if (!first) out.append(text);
    first = false;
    out.append(item.as_text());
  }
  return Value::text(std::move(out));
}

Value split_lines(Evaluator& evaluator, const TrackedText& text, Arguments& arguments) {
  const Parameters parameters("splitlines", arguments, {"keepends"});
  std::vector<Value> lines;
  for (const LineRange& line : line_ranges(text.bytes())) {
    evaluator.charge_steps(1);
    lines.push_back(Value::text(text.range(line.from, parameters.boolean(0, false) ? line.end_with_break : line.end)));
  }
  return Value::list(std::move(lines));
}

Value zero_fill(Evaluator& evaluator, const TrackedText& text, Arguments& arguments) {
  const Parameters parameters("zfill", arguments, {"width"});
  parameters.required(0);
  const int64_t width = parameters.integer(0, 0);
  const auto length = static_cast<int64_t>(text.length());
  if (width <= length) return Value::text(text);
  evaluator.charge_text(static_cast<uint64_t>(width));
  const bool has_sign = text.bytes().starts_with('-') || text.bytes().starts_with('+');
  TrackedText out = text.range(0, has_sign ? 1 : 0);
  out.append(std::string(static_cast<size_t>(width - length), '0'), true);
  out.append_range(text, has_sign ? 1 : 0, text.size_bytes());
  return Value::text(std::move(out));
}

Value replace(Evaluator& evaluator, const TrackedText& text, Arguments& arguments) {
  const Parameters parameters("replace", arguments, {"old", "new", "count"});
  return Value::text(replace_text(evaluator, text, parameters.required_text(0), parameters.required_text(1),
                                  parameters.integer(2, -1)));
}

Value count(const TrackedText& text, Arguments& arguments) {
  const Parameters parameters("count", arguments, {"sub"});
  const std::string& wanted = parameters.required_text(0).bytes();
  if (wanted.empty()) return Value::integer(static_cast<int64_t>(text.length()) + 1);
  int64_t found = 0;
  for (size_t at = text.bytes().find(wanted); at != std::string::npos;
       at = text.bytes().find(wanted, at + wanted.size())) {
    ++found;
  }
  return Value::integer(found);
}

Value remove_end(const TrackedText& text, Arguments& arguments, bool prefix) {
  const Parameters parameters(prefix ? "removeprefix" : "removesuffix", arguments, {"affix"});
  const std::string& affix = parameters.required_text(0).bytes();
  if (prefix && text.bytes().starts_with(affix)) return Value::text(text.range(affix.size(), text.size_bytes()));
  if (!prefix && text.bytes().ends_with(affix)) return Value::text(text.range(0, text.size_bytes() - affix.size()));
  return Value::text(text);
}

void expect_none(std::string_view name, Arguments& arguments) { const Parameters parameters(name, arguments, {}); }

// One capture-free function for each method.
struct Entry {
  std::string_view name;
  Method method;
};
#define TEXT_METHOD(name, body)                                                               \
  Entry {                                                                                     \
    #name, [](Evaluator& evaluator, const TrackedText& text, Arguments& arguments) -> Value { \
      (void)evaluator;                                                                        \
      (void)arguments;                                                                        \
      body                                                                                    \
    }                                                                                         \
  }
#define PLAIN_METHOD(name, expression) TEXT_METHOD(name, expect_none(#name, arguments); return expression;)

constexpr auto kMethods = std::to_array<Entry>({
  PLAIN_METHOD(upper, Value::text(map_case(text, CaseMapping::kUpper))),
      PLAIN_METHOD(lower, Value::text(map_case(text, CaseMapping::kLower))),
      PLAIN_METHOD(casefold, Value::text(map_case(text, CaseMapping::kLower))),
      PLAIN_METHOD(title, Value::text(map_case(text, CaseMapping::kTitle))),
      PLAIN_METHOD(capitalize, Value::text(map_case(text, CaseMapping::kCapitalize))),
      PLAIN_METHOD(swapcase, Value::text(map_case(text, CaseMapping::kSwap))),
      PLAIN_METHOD(isdigit, Value::boolean(has_class(text, TextClass::kDigit))),
      PLAIN_METHOD(isdecimal, Value::boolean(has_class(text, TextClass::kDecimal))),
      PLAIN_METHOD(isnumeric, Value::boolean(has_class(text, TextClass::kNumeric))),
      PLAIN_METHOD(isalpha, Value::boolean(has_class(text, TextClass::kAlpha))),
      PLAIN_METHOD(isalnum, Value::boolean(has_class(text, TextClass::kAlphanumeric))),
      PLAIN_METHOD(isspace, Value::boolean(has_class(text, TextClass::kSpace))),
      PLAIN_METHOD(isupper, Value::boolean(has_class(text, TextClass::kUpper))),
      PLAIN_METHOD(islower, Value::boolean(has_class(text, TextClass::kLower))),
      PLAIN_METHOD(isascii, Value::boolean(unicode::is_ascii(text.bytes()))),
      TEXT_METHOD(strip, return strip("strip", text, arguments, true, true);),
      TEXT_METHOD(lstrip, return strip("lstrip", text, arguments, true, false);),
      TEXT_METHOD(rstrip, return strip("rstrip", text, arguments, false, true);),
      TEXT_METHOD(split, return split(evaluator, "split", text, arguments, false);),
      TEXT_METHOD(rsplit, return split(evaluator, "rsplit", text, arguments, true);),
      TEXT_METHOD(splitlines, return split_lines(evaluator, text, arguments);),
      TEXT_METHOD(startswith, return matches_end("startswith", text, arguments, true);),
      TEXT_METHOD(endswith, return matches_end("endswith", text, arguments, false);),
      TEXT_METHOD(find, return find("find", text, arguments, false, false);),
      TEXT_METHOD(rfind, return find("rfind", text, arguments, true, false);),
      TEXT_METHOD(index, return find("index", text, arguments, false, true);),
      TEXT_METHOD(rindex, return find("rindex", text, arguments, true, true);),
      TEXT_METHOD(count, return count(text, arguments);),
      TEXT_METHOD(replace, return replace(evaluator, text, arguments);),
      TEXT_METHOD(join, return join(evaluator, text, arguments);),
      TEXT_METHOD(partition, return partition(text, arguments, false);),
      TEXT_METHOD(rpartition, return partition(text, arguments, true);),
      TEXT_METHOD(removeprefix, return remove_end(text, arguments, true);),
      TEXT_METHOD(removesuffix, return remove_end(text, arguments, false);),
      TEXT_METHOD(ljust, return pad(evaluator, "ljust", text, arguments, Alignment::kLeft);),
      TEXT_METHOD(rjust, return pad(evaluator, "rjust", text, arguments, Alignment::kRight);),
      TEXT_METHOD(center, return pad(evaluator, "center", text, arguments, Alignment::kCenter);),
      TEXT_METHOD(zfill, return zero_fill(evaluator, text, arguments);),
      TEXT_METHOD(format, return Value::text(format_braces(evaluator, text, arguments));),
});
#undef PLAIN_METHOD
#undef TEXT_METHOD

}  // namespace

Value find_text_method(const Value& value, std::string_view name) {
  for (const Entry& entry : kMethods) {
    if (entry.name != name) continue;
    return make_callable(
        std::string(name),
        [value, method = entry.method](Evaluator& evaluator, Arguments& arguments) {
          evaluator.charge_text(value.bytes().size());
          return method(evaluator, value.as_text(), arguments);
        },
        value.depth() + 1);
  }
  return {};
}

}  // namespace fastserve::jinja
