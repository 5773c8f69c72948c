// What every extern "C" shim needs: the guard that turns anything into a status, strings, and growing structs.
#pragma once
#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/format.h"
#include "base/status.h"
#include "base/utf8.h"
#include "fastserve.h"

namespace fastserve::api {

inline fsv_status report(const Status& status, fsv_error* error) noexcept {
  if (!status.ok() && error != nullptr) {
    error->status = static_cast<fsv_status>(status.code());
    const std::string_view message = utf8_truncate(status.message(), FSV_ERROR_MESSAGE_CAPACITY - 1);
    std::memcpy(error->message, message.data(), message.size());
    error->message[message.size()] = '\0';
    error->message_size = static_cast<uint32_t>(message.size());
  }
  return static_cast<fsv_status>(status.code());
}

// Runs a shim's body: a lambda that returns Status.
template <typename F>
fsv_status shim(fsv_error* error, F&& body) noexcept {
  return report(guarded(body), error);
}

inline Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

// A caller's (pointer, size); SIZE_MAX means NUL-terminated.
inline Result<std::string_view> text_argument(const char* data, size_t size, const char* name) {
  if (data == nullptr) {
    if (size == 0) return std::string_view();
    return invalid(format(name, " is NULL"));
  }
  return size == SIZE_MAX ? std::string_view(data) : std::string_view(data, size);
}

// The path of a file or folder; `name` is for messages.
inline Result<std::string_view> path_argument(const char* data, size_t size, const char* name = "path") {
  FSV_ASSIGN(const std::string_view path, text_argument(data, size, name));
  if (path.empty()) return invalid(format(name, " is empty"));
  if (path.find('\0') != std::string_view::npos) return invalid(format(name, " holds a NUL byte"));
  if (utf8_valid_prefix(path) != path.size()) return invalid(format(name, " is not UTF-8"));
  return path;
}

constexpr uint32_t kStructBytesMax = 1 << 16;  // no version has a larger struct: a larger size is no size

// A caller's config struct, which may be of an older or newer library: what it knows is taken, what it lacks keeps the
// default, and what we do not know must be zero.
template <typename T>
Result<T> config_argument(const T* given, const T& defaults, const char* name) {
  if (given == nullptr) return invalid(format(name, " is NULL"));
  const uint32_t size = given->struct_size;
  if (size < sizeof(uint32_t) || size > kStructBytesMax) {
    return invalid(format(name, " has struct_size ", size, ": call its init function first"));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      return Status(StatusCode::kUnsupported, format(name, " uses a field that this version of fastserve lacks"));
    }
  }
  T config = defaults;
  std::memcpy(&config, given, std::min<size_t>(size, sizeof(T)));
  return config;
}

// The same with the defaults of the struct's own init function.
template <typename T>
Result<T> config_argument(const T* given, void (*init)(T*, uint32_t), const char* name) {
  T defaults;
  init(&defaults, sizeof(defaults));
  return config_argument(given, defaults, name);
}

// Fills a caller's info struct up to the size that the caller knows.
template <typename T>
Status fill_info(T* target, T& source, const char* name) {
  if (target == nullptr) return invalid(format(name, " is NULL"));
  const uint32_t size = target->struct_size;
  if (size < sizeof(uint32_t))
    return invalid(format(name, " has struct_size ", size, ": call its init function first"));
  source.struct_size = size;
  std::memcpy(target, &source, std::min<size_t>(size, sizeof(T)));
  return {};
}

// Fills a caller's struct, which may be of an older or newer library: all of it and nothing beyond. `set` gives the
// fields that we know their defaults, where these are not zero. What is no struct's size leaves one that is refused.
template <typename T, typename Set>
void init_struct(T* target, uint32_t struct_size, Set&& set) {
  if (target == nullptr || struct_size < sizeof(uint32_t)) return;
  if (struct_size > kStructBytesMax) {
    target->struct_size = 0;
    return;
  }
  T known;
  std::memset(&known, 0, sizeof(T));
  set(known);
  known.struct_size = struct_size;
  std::memset(static_cast<void*>(target), 0, struct_size);
  std::memcpy(static_cast<void*>(target), &known, std::min<size_t>(struct_size, sizeof(T)));
}

template <typename T>
void init_struct(T* target, uint32_t struct_size) {
  init_struct(target, struct_size, [](T&) {});
}

template <size_t N>
void copy_text(char (&target)[N], std::string_view text) {
  const std::string_view cut = utf8_truncate(text, N - 1);
  std::memcpy(target, cut.data(), cut.size());
  target[cut.size()] = '\0';
}

// Stores the count needed, and the elements when they fit.
template <typename T>
Status fill_array(const T* source, size_t source_count, T* target, size_t capacity, size_t* count) {
  if (count == nullptr) return invalid("count is NULL");
  *count = source_count;
  if (target == nullptr) return capacity == 0 ? Status() : invalid("the buffer is NULL, its capacity is not 0");
  if (source_count > capacity) {
    return {StatusCode::kBufferTooSmall, format("the buffer holds ", capacity, ", needed are ", source_count)};
  }
  if (source_count > 0) std::memcpy(target, source, source_count * sizeof(T));
  return {};
}

}  // namespace fastserve::api
