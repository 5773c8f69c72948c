// Filters on text.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "text/jinja/case_mapping.h"
#include "text/jinja/filter_table.h"
#include "text/jinja/text_search.h"
#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

TrackedText map_input(const Value& input, Arguments& arguments, std::string_view name, CaseMapping mapping) {
  const Parameters parameters(name, arguments, {});
  return map_case(to_text(input), mapping);
}

Value filter_upper(Evaluator&, const Value& input, Arguments& arguments) {
  return Value::text(map_input(input, arguments, "upper", CaseMapping::kUpper));
}
Value filter_lower(Evaluator&, const Value& input, Arguments& arguments) {
  return Value::text(map_input(input, arguments, "lower", CaseMapping::kLower));
}
Value filter_capitalize(Evaluator&, const Value& input, Arguments& arguments) {
  return Value::text(map_input(input, arguments, "capitalize", CaseMapping::kCapitalize));
}
Value filter_title(Evaluator&, const Value& input, Arguments& arguments) {
  return Value::text(map_input(input, arguments, "title", CaseMapping::kWords));
}

Value filter_trim(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("trim", arguments, {"chars"});
  const TrackedText text = to_text(input);
  const TrackedText* set = parameters.text(0);
  const ByteRange range = strip_range(text.bytes(), set != nullptr ? &set->bytes() : nullptr, true, true);
  return Value::text(text.range(range.from, range.to));
}

Value filter_replace(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("replace", arguments, {"old", "new", "count"});
  const int64_t count =
      parameters.given(2) && !parameters.find(2)->is(ValueKind::kNone) ? parameters.integer(2, -1) : -1;
  return Value::text(
      replace_text(evaluator, to_text(input), to_text(parameters.required(0)), to_text(parameters.required(1)), count));
}

Value filter_string(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("string", arguments, {});
  return Value::text(to_text(input));
}

Value filter_escape(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("escape", arguments, {});
  const TrackedText text = to_text(input);
  TrackedText out;
  for (TextReader reader(text); !reader.done();) {
    const TextReader::Character c = reader.next();
    switch (c.code_point) {
      case '&':
        out.append("&amp;", c.trusted);
        break;
      case '<':
        out.append("&lt;", c.trusted);
        break;
      case '>':
        out.append("&gt;", c.trusted);
        break;
      case '\'':
        out.append("&#39;", c.trusted);
        break;
      case '"':
        out.append("&#34;", c.trusted);
        break;
      default:
        out.append_range(text, c.start, c.end);
    }
  }
  return Value::text(std::move(out));
}

Value filter_format(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fail("can't handle positional and keyword arguments at the same time");
  }
  const TrackedText text = to_text(input);
  if (arguments.named.empty()) {
    return Value::text(format_percent(evaluator, text, Value::tuple(std::move(arguments.positional))));
  }
  std::vector<Value::Entry> entries;
  for (auto& [name, value] : arguments.named) entries.emplace_back(Value::text(name, true), value);
  return Value::text(format_percent(evaluator, text, Value::dict(std::move(entries))));
}

Value filter_indent(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("indent", arguments, {"width", "first", "blank"});
  TrackedText step;
  if (parameters.given(0) && parameters.find(0)->is(ValueKind::kText)) {
    step = parameters.find(0)->as_text();
  } else {
    const int64_t width = std::clamp<int64_t>(parameters.integer(0, 4), 0, 10'000);
    step = TrackedText(std::string(static_cast<size_t>(width), ' '), true);
  }
  const TrackedText text = to_text(input);
  const bool blank = parameters.boolean(2, false);
  // Jinja adds one line break before it splits, so that an empty last line counts.
  TrackedText whole = text;
  whole.append("\n", true);
  TrackedText out;
  bool first_line = true;
  for (const LineRange& line : line_ranges(whole.bytes())) {
    const bool empty = line.from == line.end;
    if (!first_line) out.append("\n", true);
    if (first_line ? parameters.boolean(1, false) : blank || !empty) {
      evaluator.charge_text(step.size_bytes());
      out.append(step);
    }
    first_line = false;
    out.append_range(whole, line.from, line.end);
  }
  return Value::text(std::move(out));
}

Value filter_center(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("center", arguments, {"width"});
  const int64_t width = parameters.integer(0, 80);
  if (width > 0) evaluator.charge_text(static_cast<uint64_t>(width));
  return Value::text(pad_text(to_text(input), width, TrackedText(" ", true), Alignment::kCenter));
}

Value filter_truncate(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const TrackedText text = to_text(input);
  const TrackedText dots("...", true);
  const TrackedText& end = parameters.given(2) ? parameters.required_text(2) : dots;
  const int64_t length = parameters.integer(0, 255);
  const int64_t leeway =
      parameters.given(3) && !parameters.find(3)->is(ValueKind::kNone) ? parameters.integer(3, 5) : 5;
  const auto end_length = static_cast<int64_t>(end.length());
  if (length < end_length) fail(format("expected length >= ", end_length, ", got ", length));
  if (leeway < 0) fail(format("expected leeway >= 0, got ", leeway));
  if (static_cast<int64_t>(text.length()) <= length + leeway) return Value::text(text);
  TrackedText out = text.range(0, text.offset_of(static_cast<size_t>(length - end_length)));
  if (!parameters.boolean(1, false)) {
    const size_t space = out.bytes().rfind(' ');
    if (space != std::string::npos) out = out.range(0, space);
  }
  out.append(end);
  return Value::text(std::move(out));
}

Value filter_wordcount(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("wordcount", arguments, {});
  const TrackedText text = to_text(input);
  int64_t count = 0;
  bool inside = false;
  for (TextReader reader(text); !reader.done();) {
    const uint32_t c = reader.next().code_point;
    const unicode::Category category = c < 0x110000 ? unicode::category(c) : unicode::Category::kCn;
    const bool word = c == '_' || unicode::is_letter(category) || unicode::is_number(category);
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value::integer(count);
}

// Percent-encoding as urllib's quote with safe "/" ("" in pairs, where a space is a plus).
TrackedText quote_url(const TrackedText& text, bool in_query) {
  TrackedText out;
  for (TextReader reader(text); !reader.done();) {
    const TextReader::Character c = reader.next();
    const uint32_t p = c.code_point;
    const bool plain = (p >= '0' && p <= '9') || ((p | 0x20) >= 'a' && (p | 0x20) <= 'z' && p < 0x80) || p == '_' ||
                       p == '.' || p == '-' || p == '~' || (p == '/' && !in_query);
    if (plain) {
      out.append_range(text, c.start, c.end);
    } else if (p == ' ' && in_query) {
      out.append("+", c.trusted);
    } else {
      for (size_t i = c.start; i < c.end; ++i) {
        const auto byte = static_cast<uint8_t>(text.bytes()[i]);
        const char escaped[] = {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
        out.append(std::string_view(escaped, 3), c.trusted);
      }
    }
  }
  return out;
}

Value filter_urlencode(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("urlencode", arguments, {});
  if (!input.is(ValueKind::kDict) && !input.is_sequence()) return Value::text(quote_url(to_text(input), false));
  TrackedText out;
  const auto put = [&](const Value& key, const Value& value) {
    if (!out.empty()) out.append("&", true);
    out.append(quote_url(to_text(key), true));
    out.append("=", true);
    out.append(quote_url(to_text(value), true));
  };
  if (input.is(ValueKind::kDict)) {
    for (const auto& [key, value] : input.entries()) put(key, value);
  } else {
    for (const Value& pair : input.items()) {
      const std::vector<Value> parts = iterate(pair);
      if (parts.size() != 2) fail("urlencode expects pairs");
      put(parts[0], parts[1]);
    }
  }
  return Value::text(std::move(out));
}

Value filter_tojson(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = parameters.boolean(0, false);
  style.sort_keys = parameters.boolean(3, false);
  std::string indent;
  if (parameters.given(1) && !parameters.find(1)->is(ValueKind::kNone)) {
    if (parameters.find(1)->is(ValueKind::kText)) {
      indent = parameters.find(1)->bytes();
    } else {
      indent.assign(static_cast<size_t>(std::clamp<int64_t>(parameters.integer(1, 0), 0, 64)), ' ');
    }
    if (indent.size() > 64) fail("tojson: the indent is too wide");
    style.indent = &indent;
    style.item_separator = std::string(1, ',');
  }
  if (parameters.given(2) && !parameters.find(2)->is(ValueKind::kNone)) {
    const std::vector<Value> separators = iterate(*parameters.find(2));
    if (separators.size() != 2 || !separators[0].is(ValueKind::kText) || !separators[1].is(ValueKind::kText)) {
      fail("tojson: separators must be two strings");
    }
    style.item_separator = separators[0].bytes();
    style.key_separator = separators[1].bytes();
    if (style.item_separator.size() + style.key_separator.size() > 64) fail("tojson: the separators are too long");
  }
  evaluator.charge_text(static_cast<uint64_t>(input.weight()) * 8);
  return Value::text(to_json(input, style));
}

Value filter_join(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("join", arguments, {"d", "attribute"});
  const TrackedText separator = parameters.given(0) ? to_text(*parameters.find(0)) : TrackedText();
  TrackedText out;
  bool first = true;
  for (Value& item : iterate(input)) {
    if (parameters.given(1) && !parameters.find(1)->is(ValueKind::kNone)) {
      item = evaluator.item(item, *parameters.find(1));
    }
    const TrackedText piece = to_text(item);
    evaluator.charge_text(piece.size_bytes() + separator.size_bytes());
    if (!first) out.append(separator);
    first = false;
    out.append(piece);
  }
  return Value::text(std::move(out));
}

constexpr auto kFilters = std::to_array<FilterEntry>({
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"trim", filter_trim},
    {"replace", filter_replace},
    {"string", filter_string},
    {"safe", filter_string},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"forceescape", filter_escape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"center", filter_center},
    {"truncate", filter_truncate},
    {"wordcount", filter_wordcount},
    {"urlencode", filter_urlencode},
    {"tojson", filter_tojson},
    {"join", filter_join},
});

}  // namespace

std::span<const FilterEntry> text_filters() { return kFilters; }

}  // namespace fastserve::jinja
