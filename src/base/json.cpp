// The one file that compiles Boost.JSON (header-only).
#include "base/json.h"

#include <boost/json/src.hpp>
#include <cmath>

#include "base/format.h"

namespace fastserve::json {

struct Document::Storage {
  // Freed as a whole: neither parsing nor destruction touches the heap for each value.
  boost::json::monotonic_resource memory;
  std::optional<boost::json::value> root;
};

namespace {

const boost::json::value& as_boost(const void* value) { return *static_cast<const boost::json::value*>(value); }

std::string place_of(std::string_view text, size_t position) {
  position = std::min(position, text.size());
  size_t line = 1, line_begin = 0;
  for (size_t i = 0; i < position; ++i) {
    if (text[i] == '\n') {
      ++line;
      line_begin = i + 1;
    }
  }
  return format("line ", line, ", column ", position - line_begin + 1);
}

}  // namespace

Kind Value::kind() const {
  if (value_ == nullptr) return Kind::kAbsent;
  switch (as_boost(value_).kind()) {
    case boost::json::kind::null:
      return Kind::kNull;
    case boost::json::kind::bool_:
      return Kind::kBool;
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_:
      return Kind::kNumber;
    case boost::json::kind::string:
      return Kind::kString;
    case boost::json::kind::array:
      return Kind::kArray;
    case boost::json::kind::object:
      return Kind::kObject;
  }
  return Kind::kAbsent;
}

Value Value::operator[](std::string_view key) const {
  if (!is_object()) return {};
  return Value(as_boost(value_).get_object().if_contains({key.data(), key.size()}));
}

size_t Value::size() const {
  if (is_array()) return as_boost(value_).get_array().size();
  return is_object() ? as_boost(value_).get_object().size() : 0;
}

Value Value::at(size_t index) const {
  if (index >= size()) return {};
  if (is_array()) return Value(&as_boost(value_).get_array()[index]);
  return Value(&(as_boost(value_).get_object().begin() + index)->value());
}

std::string_view Value::key(size_t index) const {
  if (!is_object() || index >= size()) return {};
  const auto key = (as_boost(value_).get_object().begin() + index)->key();
  return {key.data(), key.size()};
}

std::optional<bool> Value::boolean() const {
  if (kind() != Kind::kBool) return std::nullopt;
  return as_boost(value_).get_bool();
}

std::optional<int64_t> Value::integer() const {
  if (kind() != Kind::kNumber) return std::nullopt;
  const boost::json::value& value = as_boost(value_);
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64()) return std::nullopt;  // holds only what no int64 can
  const double number = value.get_double();
  if (std::fabs(number) > 9007199254740992.0 || number != std::trunc(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

bool Value::written_as_integer() const { return kind() == Kind::kNumber && as_boost(value_).is_int64(); }

std::optional<double> Value::number() const {
  if (kind() != Kind::kNumber) return std::nullopt;
  const boost::json::value& value = as_boost(value_);
  if (value.is_int64()) return static_cast<double>(value.get_int64());
  if (value.is_uint64()) return static_cast<double>(value.get_uint64());
  return value.get_double();
}

std::optional<std::string_view> Value::string() const {
  if (kind() != Kind::kString) return std::nullopt;
  const boost::json::string& text = as_boost(value_).get_string();
  return std::string_view(text.data(), text.size());
}

Document::Document() = default;
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;
Value Document::root() const { return storage_ == nullptr ? Value() : Value(&*storage_->root); }

Result<Document> parse(std::string_view text, std::string_view name, uint32_t depth_max) {
  return guarded([&]() -> Result<Document> {
    if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);  // a byte order mark
    Document document;
    document.storage_ = std::make_unique<Document::Storage>();
    boost::json::parse_options options;
    options.max_depth = depth_max;
    boost::json::parser parser({}, options);
    parser.reset(boost::json::storage_ptr(&document.storage_->memory));
    boost::json::error_code error;
    const size_t used = parser.write_some(text.data(), text.size(), error);
    if (!error && used < text.size()) error = boost::json::error::extra_data;
    if (error) {
      return Status(StatusCode::kCorrupt, format(name, ": ", place_of(text, used), ": ", error.message()));
    }
    document.storage_->root.emplace(parser.release());
    return document;
  });
}

}  // namespace fastserve::json
