// Log sink of one engine. Silent unless the host gave a function; never writes anywhere by itself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fastserve {

enum class LogLevel : int32_t { kOff = 0, kError = 1, kWarning = 2, kInfo = 3, kDebug = 4 };

struct LogSink {
  void (*function)(void* user, int32_t level, const char* message, size_t message_size) = nullptr;
  void* user = nullptr;
  LogLevel level = LogLevel::kOff;

  bool enabled(LogLevel message_level) const { return function != nullptr && message_level <= level; }
  void write(LogLevel message_level, std::string_view message) const {
    if (enabled(message_level)) function(user, static_cast<int32_t>(message_level), message.data(), message.size());
  }
};

}  // namespace fastserve
