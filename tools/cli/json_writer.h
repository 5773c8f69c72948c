// Writes one JSON value into a string: compact, keys in the order given, numbers independent of the locale.
#ifndef FASTSERVE_CLI_JSON_WRITER_H
#define FASTSERVE_CLI_JSON_WRITER_H

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace fastserve::cli {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);  // bytes that are not UTF-8 become U+FFFD
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);  // infinite and NaN become null
  JsonWriter& value(bool truth);
  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  JsonWriter& value(Integer number) {
    if constexpr (std::is_signed_v<Integer>) return signed_value(number);
    return unsigned_value(static_cast<uint64_t>(number));
  }
  template <typename Number>
  JsonWriter& value(std::span<const Number> numbers) {
    begin_array();
    for (const Number number : numbers) value(number);
    return end_array();
  }
  JsonWriter& raw(std::string_view json);  // a value that is JSON already

  template <typename Value>
  JsonWriter& member(std::string_view name, const Value& content) {
    return key(name).value(content);
  }

  const std::string& text() const { return text_; }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& signed_value(int64_t number);
  JsonWriter& unsigned_value(uint64_t number);
  void separate();  // a comma where one is due

  std::string text_;
  bool comma_due_ = false;
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_JSON_WRITER_H
