// json.dumps: its separators, escapes and indentation.
#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

void append_unicode_escape(std::string& out, uint32_t unit) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[(unit >> shift) & 15]);
}

// The escape of a character, or nothing where it stands for itself.
std::string escape(uint32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    default:
      break;
  }
  std::string out;
  if (c >= 0x110000) return "\xEF\xBF\xBD";
  if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) {
    append_unicode_escape(out, c);
  } else if (ensure_ascii && c >= 0x10000) {
    append_unicode_escape(out, 0xD7C0 + (c >> 10));
    append_unicode_escape(out, 0xDC00 + (c & 0x3FF));
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  void write(const Value& value) {
    switch (value.kind()) {
      case ValueKind::kNone:
        return put("null");
      case ValueKind::kBool:
        return put(value.as_bool() ? "true" : "false");
      case ValueKind::kInt:
        return put(format(value.as_int()));
      case ValueKind::kFloat:
        return put(number_text(value.as_float()));
      case ValueKind::kText:
        return write_text(value.as_text());
      case ValueKind::kList:
      case ValueKind::kTuple:
        return write_items(value);
      case ValueKind::kDict:
        return write_entries(value);
      default:
        fail(format("Object of type ", value.type_name(), " is not JSON serializable"));
    }
  }
  TrackedText take() { return std::move(out_); }

 private:
  // Nothing that JSON adds is the template's own word.
  void put(std::string_view text) { out_.append(text, false); }

  static std::string number_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_to_text(value);
  }

  void write_text(const TrackedText& text) {
    put("\"");
    for (TextReader reader(text); !reader.done();) {
      const TextReader::Character c = reader.next();
      const std::string escaped = escape(c.code_point, style_.ensure_ascii);
      if (escaped.empty()) {
        out_.append(std::string_view(text.bytes()).substr(c.start, c.end - c.start), c.trusted);
      } else {
        out_.append(escaped, c.trusted);
      }
    }
    put("\"");
  }

  void new_line() {
    if (style_.indent == nullptr) return;
    put("\n");
    for (size_t i = 0; i < depth_; ++i) put(*style_.indent);
  }

  template <typename Items, typename WriteOne>
  void write_container(std::string_view open, std::string_view close, const Items& items, WriteOne&& write_one) {
    put(open);
    if (!items.empty()) {
      ++depth_;
      bool first = true;
      for (const auto& item : items) {
        if (!first) put(style_.item_separator);
        first = false;
        new_line();
        write_one(item);
      }
      --depth_;
      new_line();
    }
    put(close);
  }

  void write_items(const Value& value) {
    write_container("[", "]", value.items(), [&](const Value& item) { write(item); });
  }

  void write_key(const Value& key) {
    if (key.is(ValueKind::kText)) return write_text(key.as_text());
    if (!key.is_number() && !key.is(ValueKind::kNone)) {
      fail(format("keys must be str, int, float, bool or None, not ", key.type_name()));
    }
    put("\"");
    write(key);
    put("\"");
  }

  void write_entries(const Value& value) {
    std::vector<Value::Entry> entries = value.entries();
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const Value::Entry& a, const Value::Entry& b) { return compare(a.first, b.first) < 0; });
    }
    write_container("{", "}", entries, [&](const Value::Entry& entry) {
      write_key(entry.first);
      put(style_.key_separator);
      write(entry.second);
    });
  }

  const JsonStyle& style_;
  TrackedText out_;
  size_t depth_ = 0;
};

}  // namespace

TrackedText to_json(const Value& value, const JsonStyle& style) {
  Writer writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace fastserve::jinja
