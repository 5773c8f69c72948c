// A session of a Host, as a test speaks to it.
#pragma once
#include <memory>
#include <utility>

#include "support/host.h"

namespace fastserve::test {

class TestSession {
 public:
  explicit TestSession(Host& host) : host_(host) {
    EXPECT_EQ(fsv_session_create(host.engine(), host.model(), &handle_, &error_), FSV_OK) << error_.message;
  }
  // A fork.
  TestSession(const TestSession& source, size_t token_count) : host_(source.host_) {
    EXPECT_EQ(fsv_session_fork(source.handle_, token_count, &handle_, &error_), FSV_OK) << error_.message;
  }
  // One that was made otherwise, and is owned from now on.
  TestSession(Host& host, fsv_session* handle) : host_(host), handle_(handle) {}
  ~TestSession() { release(); }
  TestSession(const TestSession&) = delete;
  TestSession& operator=(const TestSession&) = delete;

  fsv_session* handle() const { return handle_; }
  void release() {
    if (handle_ == nullptr) return;
    EXPECT_EQ(fsv_session_release(std::exchange(handle_, nullptr), &error_), FSV_OK) << error_.message;
  }

  fsv_request begin(const std::vector<int32_t>& prompt, uint32_t max_tokens, uint32_t mode = FSV_SESSION_APPEND,
                    const EditGenerate& edit = nullptr) {
    return host_.generate(prompt, max_tokens, [&](GenerateSettings& config) {
      config.session = handle_;
      config.session_mode = mode;
      if (edit) edit(config);
    });
  }
  Reply turn(const std::vector<int32_t>& prompt, uint32_t max_tokens, uint32_t mode = FSV_SESSION_APPEND,
             const EditGenerate& edit = nullptr) {
    const fsv_request request = begin(prompt, max_tokens, mode, edit);
    host_.run();
    return host_.reply(request);
  }

  // What an export writes; empty after a failure.
  std::vector<uint8_t> exported(uint32_t flags = 0) {
    std::vector<uint8_t> bytes;
    auto write = [](void* context, const void* data, size_t size, uint64_t total) {
      auto& target = *static_cast<std::vector<uint8_t>*>(context);
      target.insert(target.end(), static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + size);
      EXPECT_LE(target.size(), total);
      return fsv_status{FSV_OK};
    };
    const fsv_status status = fsv_session_export(handle_, flags, write, &bytes, &error_);
    EXPECT_EQ(status, FSV_OK) << error_.message;
    return status == FSV_OK ? bytes : std::vector<uint8_t>();
  }
  static std::unique_ptr<TestSession> imported(Host& host, const std::vector<uint8_t>& bytes) {
    fsv_session* handle = nullptr;
    fsv_error error{};
    EXPECT_EQ(fsv_session_import(host.engine(), host.model(), bytes.data(), bytes.size(), &handle, &error), FSV_OK)
        << error.message;
    return handle != nullptr ? std::make_unique<TestSession>(host, handle) : nullptr;
  }
  fsv_status save(const std::string& name, uint32_t flags = 0) {
    return fsv_session_save(handle_, name.data(), name.size(), flags, &error_);
  }

  fsv_status undo() { return fsv_session_undo(handle_, &error_); }
  fsv_status truncate(size_t token_count) { return fsv_session_truncate(handle_, token_count, &error_); }
  fsv_session_info info() {
    fsv_session_info info;
    fsv_session_info_init(&info, sizeof(info));
    EXPECT_EQ(fsv_session_get_info(handle_, &info, &error_), FSV_OK) << error_.message;
    return info;
  }
  std::vector<int32_t> tokens() {
    size_t count = 0;
    EXPECT_EQ(fsv_session_get_tokens(handle_, nullptr, 0, &count, &error_), FSV_OK) << error_.message;
    std::vector<int32_t> ids(count);
    if (count > 0) {
      EXPECT_EQ(fsv_session_get_tokens(handle_, ids.data(), count, &count, &error_), FSV_OK) << error_.message;
    }
    return ids;
  }
  const fsv_error& error() const { return error_; }

 private:
  Host& host_;
  fsv_session* handle_ = nullptr;
  fsv_error error_{};
};

inline std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace fastserve::test
