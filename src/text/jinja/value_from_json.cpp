// The parser bounds depth; numbers keep Python's distinction of int and float.
#include "text/jinja/value_from_json.h"

#include "base/json.h"

namespace fastserve::jinja {
namespace {

constexpr uint32_t kJsonDepthMax = 40;

Value convert(const json::Value& source) {
  switch (source.kind()) {
    case json::Kind::kBool:
      return Value::boolean(source.boolean().value_or(false));
    case json::Kind::kNumber:
      if (source.written_as_integer()) return Value::integer(source.integer().value_or(0));
      return Value::floating(source.number().value_or(0));
    case json::Kind::kString:
      return Value::text(source.string().value_or(""), false);
    case json::Kind::kArray: {
      std::vector<Value> items;
      items.reserve(source.size());
      for (size_t i = 0; i < source.size(); ++i) items.push_back(convert(source.at(i)));
      return Value::list(std::move(items));
    }
    case json::Kind::kObject: {
      std::vector<Value::Entry> entries;
      entries.reserve(source.size());
      for (size_t i = 0; i < source.size(); ++i) {
        entries.emplace_back(Value::text(source.key(i), false), convert(source.at(i)));
      }
      return Value::dict(std::move(entries));
    }
    default:
      return Value::none();
  }
}

}  // namespace

Result<Value> value_from_json(std::string_view text, std::string_view name) {
  FSV_ASSIGN(const json::Document document, json::parse(text, name, kJsonDepthMax));
  try {
    return convert(document.root());
  } catch (const TemplateFailure& failure) {
    return Status(StatusCode::kInvalidArgument, std::string(name) + ": " + failure.message);
  }
}

}  // namespace fastserve::jinja
