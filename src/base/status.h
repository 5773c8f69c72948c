// Status and Result<T>: what can go wrong with input or resources. Codes equal FSV_* of fastserve.h (checked in api/).
#pragma once
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace fastserve {

enum class StatusCode : int32_t {
  kOk = 0,
  kInvalidArgument = 1,
  kOutOfMemory = 2,
  kBudgetTooSmall = 3,
  kNotFound = 4,
  kIo = 5,
  kCorrupt = 6,
  kUnsupported = 7,
  kStale = 8,
  kWrongState = 9,
  kWrongMode = 10,
  kQueueFull = 11,
  kCancelled = 12,
  kTimeout = 13,
  kBufferTooSmall = 14,
  kShutdown = 15,
  kContextTooLong = 16,
  kDevice = 17,
  kInternal = 18,
  kTemplate = 19,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  // Allocates nothing: usable when memory is gone. `literal` must be static.
  static Status from_literal(StatusCode code, const char* literal) {
    Status status;
    status.code_ = code;
    status.literal_ = literal;
    return status;
  }
  static Status out_of_memory() { return from_literal(StatusCode::kOutOfMemory, "out of memory"); }

  bool ok() const { return code_ == StatusCode::kOk; }
  explicit operator bool() const = delete;
  StatusCode code() const { return code_; }
  const char* message() const { return literal_ != nullptr ? literal_ : message_.c_str(); }

 private:
  StatusCode code_ = StatusCode::kOk;
  const char* literal_ = nullptr;
  std::string message_;
};

// A value or the Status that explains its absence.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }
  T& operator*() { return *value_; }
  T* operator->() { return &*value_; }
  const T& operator*() const { return *value_; }
  const T* operator->() const { return &*value_; }
  T take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

// A failure on a way that returns no Status; guarded() turns it back into one.
struct StatusException {
  Status status;
};

// Runs f, turning exceptions (bad_alloc above all) into a Status. For the borders: threads, api, callbacks.
template <typename F>
auto guarded(F&& f) noexcept -> decltype(f()) {
  try {
    return f();
  } catch (StatusException& failure) {
    return std::move(failure.status);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory();
  } catch (...) {
    return Status::from_literal(StatusCode::kInternal, "unexpected exception");
  }
}

}  // namespace fastserve

// FSV_TRY(expr): returns the Status of a failed expression from the enclosing function.
// FSV_ASSIGN(lhs, expr): the same for a Result, and moves the value into lhs.
#define FSV_CONCAT_INNER(a, b) a##b
#define FSV_CONCAT(a, b) FSV_CONCAT_INNER(a, b)
#define FSV_TRY(expr)                                \
  do {                                               \
    ::fastserve::Status fsv_try_status = (expr);     \
    if (!fsv_try_status.ok()) return fsv_try_status; \
  } while (0)
#define FSV_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                    \
  if (!tmp.ok()) return tmp.status();   \
  lhs = tmp.take()
#define FSV_ASSIGN(lhs, expr) FSV_ASSIGN_IMPL(FSV_CONCAT(fsv_result_, __LINE__), lhs, expr)
