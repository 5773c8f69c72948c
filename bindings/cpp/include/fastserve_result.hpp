// What calls return: a value, or why there is none. Part of fastserve.hpp.
#pragma once
#include <fastserve.h>

#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace fsv {

// A refused call: of which kind, and the library's own words: what, and where.
struct Error {
  fsv_status status = FSV_OK;
  std::string message;
  const char* name() const noexcept { return fsv_status_name(status); }
};

#if defined(__cpp_exceptions)
class Exception : public std::exception {
 public:
  explicit Exception(Error error) : error_(std::move(error)) {}
  const char* what() const noexcept override { return error_.message.c_str(); }
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};
#endif

// A value, or why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const noexcept { return value_.has_value(); }
  const Error& error() const noexcept { return error_; }
  T& operator*() noexcept { return *value_; }
  T* operator->() noexcept { return &*value_; }
#if defined(__cpp_exceptions)
  // The value; throws where there is none.
  T& value() & {
    if (!value_) throw Exception(error_);
    return *value_;
  }
  T value() && {
    if (!value_) throw Exception(std::move(error_));
    return std::move(*value_);
  }
#endif

 private:
  std::optional<T> value_;
  Error error_;
};

struct Done {};  // what calls without a value return

namespace detail {

inline Error error_of(fsv_status status, const fsv_error& error) {
  return {status, std::string(error.message, error.message_size)};
}

// Calls `function(arguments..., &error)`; `value` is what the caller makes of its success.
template <class T, class Function, class... Arguments>
Result<T> call(T&& value, Function function, Arguments... arguments) {
  fsv_error error{};
  const fsv_status status = function(arguments..., &error);
  if (status != FSV_OK) return error_of(status, error);
  return std::forward<T>(value);
}

// The `Info` that `function(arguments..., &raw, &error)` fills; Info is a Raw with the library's defaults.
template <class Info, class Raw, class Function, class... Arguments>
Result<Info> info(Function function, Arguments... arguments) {
  Info info;
  auto done = call(Done{}, function, arguments..., static_cast<Raw*>(&info));
  if (!done) return done.error();
  return info;
}

// Fills a container by a function that takes (array, capacity, &count); asks for its size first.
template <class Container, class Function>
Result<Container> fill(Function function) {
  Container values;
  fsv_error error{};
  size_t count = 0;
  fsv_status status = function(static_cast<typename Container::pointer>(nullptr), size_t{0}, &count, &error);
  if (status == FSV_OK && count > 0) {
    values.resize(count);
    status = function(values.data(), values.size(), &count, &error);
  }
  if (status != FSV_OK) return error_of(status, error);
  values.resize(count);
  return values;
}

}  // namespace detail
}  // namespace fsv
