// One engine with one loaded model, owned by a command: creation, loading with a progress bar, text conversion, and
// waiting for events so that Ctrl-C is noticed.
#ifndef FASTSERVE_CLI_ENGINE_SESSION_H
#define FASTSERVE_CLI_ENGINE_SESSION_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "exit_code.h"
#include "fastserve.h"

namespace fastserve::cli {

struct EngineOptions {
  std::string model;
  const fsv_io* io = nullptr;  // what opens `model`; null: a file
  std::string device = "cpu";
  uint32_t device_index = 0;
  uint32_t threads = 0;  // 0: as many as the process may use
  std::string kernels = "fast";
  std::string kv = "f16";
  std::string load_dtype = "stored";
  bool text_only = false;
  uint32_t context = 0;        // 0: the library's default
  uint32_t max_sequences = 0;  // 0: the library's default
  uint64_t memory_budget = 0;  // bytes, 0: none
};

// What --load-dtype takes.
std::vector<std::string> load_dtype_names();

class EngineSession {
 public:
  explicit EngineSession(const EngineOptions& options);  // throws Failure
  ~EngineSession();
  EngineSession(const EngineSession&) = delete;
  EngineSession& operator=(const EngineSession&) = delete;

  fsv_engine* engine() const { return engine_; }
  fsv_model* model() const { return model_; }
  const fsv_model_info& info() const { return info_; }
  double load_ms() const { return load_ms_; }  // engine creation and load, until the model was ready

  fsv_sampling model_sampling() const;  // as the model's makers recommend; may point into the model
  std::vector<int32_t> tokenize(std::string_view text, uint32_t flags) const;
  std::vector<int32_t> chat_tokenize(std::span<const fsv_chat_message> messages) const;
  // The token that the model puts before every text, or none.
  std::vector<int32_t> begin_token() const {
    return info_.adds_bos != 0 ? std::vector<int32_t>{info_.bos_token_id} : std::vector<int32_t>{};
  }

  // Waits for events at most about 50 ms and takes those that are there: perhaps none. Valid until the next call.
  std::span<const fsv_event> wait_events();
  // Asks for the end of these requests; those that have ended already are left alone.
  void cancel(std::span<const fsv_request> requests);

 private:
  void load(const EngineOptions& options);
  void release();

  fsv_engine* engine_ = nullptr;
  fsv_model* model_ = nullptr;
  fsv_model_info info_{};
  double load_ms_ = 0;
  std::vector<fsv_event> events_;
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_ENGINE_SESSION_H
