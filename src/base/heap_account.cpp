// HeapAccount: a plain pointer for each thread, so that no destructor runs when a thread ends.
#include <algorithm>

#include "base/heap.h"

namespace fastserve {

HeapAccount*& HeapAccount::current() noexcept {
  static thread_local HeapAccount* account = nullptr;
  return account;
}

HeapAccount::HeapAccount() noexcept : outer_(current()) { current() = this; }

HeapAccount::~HeapAccount() { current() = outer_; }

void HeapAccount::add(int64_t size_bytes) noexcept {
  for (HeapAccount* account = this; account != nullptr; account = account->outer_) {
    account->live_bytes_ += size_bytes;
    account->peak_bytes_ = std::max(account->peak_bytes_, account->live_bytes_);
  }
}

}  // namespace fastserve
