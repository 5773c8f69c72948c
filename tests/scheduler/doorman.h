// Admits the waiting up to a number, and notes what it was asked.
#pragma once
#include <vector>

#include "scheduler/scheduler.h"

namespace fastserve {

class Doorman final : public Admission {
 public:
  explicit Doorman(size_t places) : places_(places) {}
  bool try_admit(size_t waiting_index) override {
    asked.push_back(waiting_index);
    if (admitted_ == places_ + dropped.size()) return false;
    ++admitted_;
    return true;
  }
  void drop(size_t running_index) override { dropped.push_back(running_index); }
  std::vector<size_t> asked, dropped;

 private:
  size_t places_, admitted_ = 0;
};

inline SequenceView prefill(int32_t pending) {
  SequenceView view;
  view.pending_tokens = pending;
  return view;
}
inline SequenceView decode() {
  SequenceView view;
  view.pending_tokens = 1;
  view.computed_tokens = 10;
  view.decoding = true;
  return view;
}

}  // namespace fastserve
