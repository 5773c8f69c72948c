// HeapAccount: a plain pointer for each thread, so that no destructor runs when a thread ends.
#include <algorithm>

#include "base/heap.h"

namespace fastserve {

namespace {

std::atomic<void (*)()> heap_trim{nullptr};

}  // namespace

void trim_heap() noexcept {
  if (const auto trim = heap_trim.load(std::memory_order_relaxed); trim != nullptr) trim();
}

void set_heap_trim(void (*trim)()) noexcept { heap_trim.store(trim, std::memory_order_relaxed); }

HeapAccount*& HeapAccount::current() noexcept {
  static thread_local HeapAccount* account = nullptr;
  return account;
}

HeapAccount::HeapAccount(HeapTally* tally) noexcept : outer_(current()), tally_(tally) {
  if (tally != nullptr) count_ = *tally;
  current() = this;
}

HeapAccount::~HeapAccount() {
  if (tally_ != nullptr) *tally_ = count_;
  current() = outer_;
}

void HeapAccount::add(int64_t size_bytes) noexcept {
  for (HeapAccount* account = this; account != nullptr; account = account->outer_) {
    HeapTally& count = account->count_;
    count.live_bytes += size_bytes;
    count.peak_bytes = std::max(count.peak_bytes, count.live_bytes);
  }
}

}  // namespace fastserve
