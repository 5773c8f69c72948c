// A host of the engine for measurements, over the public header: it submits requests of given lengths, polls as fast as
// events come, and notes when they did.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "fastserve.h"
#include "simulated_engine.h"

namespace fastserve::serving {

struct HostOptions {
  std::string model;
  uint32_t scheduler = FSV_SCHEDULER_ADAPTIVE;
  uint32_t threads = 0;
  uint32_t slots = 16;
  uint32_t context = 4096;
  uint32_t batch_tokens = 512;
  uint64_t kv_bytes = 0;
};

// What is asked for: tokens that the engine cannot foresee the end of, unless it is told.
struct Ask {
  int32_t prompt_tokens = 1, output_tokens = 1, max_tokens = 1;
  int32_t priority = 0;
  uint64_t token_deadline_us = 0;
};

// Everything that fails ends the program with a message: a benchmark has nobody to tell.
class Host {
 public:
  explicit Host(const HostOptions& options);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Numbers asks from 0 on.
  size_t submit(const Ask& ask);
  // Waits for events until `until_ns` at most and takes what there is.
  void take_events(int64_t until_ns);
  void run_to_end();

  static int64_t now_ns();
  fsv_metrics metrics();
  int64_t kv_tokens();
  size_t alive_count() const { return alive_count_; }
  // Of an ask; times are those of the engine, but of gaps, which are as events came; from its submission on.
  const simulate::Outcome& outcome(size_t number) const { return asked_[number].outcome; }

 private:
  struct Asked {
    Ask ask;
    int64_t last_token_ns = 0;
    simulate::Outcome outcome;
  };
  void take(const fsv_event& event, int64_t now_ns);
  void check(fsv_status status) const;

  fsv_engine* engine_ = nullptr;
  fsv_model* model_ = nullptr;
  fsv_model_info info_;
  fsv_error error_{};
  std::vector<Asked> asked_;
  size_t alive_count_ = 0;
};

}  // namespace fastserve::serving
