// The library's own heap: operator new and delete of everything inside the shared library. Invisible to the host,
// whose malloc and operators are left alone. heap.cpp defines them; see docs/decisions/002-private-heap.md.
#pragma once
#include <atomic>
#include <cstdint>

namespace fastserve {

// Says, while it lives, that the heap is in use: an engine holds one. When the library is unloaded (or the process
// ends) without any, the heap goes back to the system as a whole; with one, it is left alone, so that a host that
// ends without shutting its engines down does not crash in their threads.
class HeapUser {
 public:
  HeapUser() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  ~HeapUser() { count_.fetch_sub(1, std::memory_order_release); }
  HeapUser(const HeapUser&) = delete;
  HeapUser& operator=(const HeapUser&) = delete;
  static bool any() noexcept { return count_.load(std::memory_order_acquire) != 0; }

 private:
  inline static std::atomic<uint32_t> count_{0};
};

// What a job that goes on piece by piece, on whichever thread, has taken from the library's heap.
struct HeapTally {
  int64_t live_bytes = 0, peak_bytes = 0;
};

// Counts what its thread takes from the library's heap, net of what it gives back, while it lives. Accounts nest: the
// inner one counts for both. Where the program's own operator new is in use (tests of parts), nothing is counted.
class HeapAccount {
 public:
  HeapAccount() noexcept : HeapAccount(nullptr) {}
  // Goes on from `tally`, and leaves there what it came to.
  explicit HeapAccount(HeapTally& tally) noexcept : HeapAccount(&tally) {}
  ~HeapAccount();
  HeapAccount(const HeapAccount&) = delete;
  HeapAccount& operator=(const HeapAccount&) = delete;
  uint64_t live_bytes() const noexcept { return count_.live_bytes > 0 ? static_cast<uint64_t>(count_.live_bytes) : 0; }
  uint64_t peak_bytes() const noexcept { return static_cast<uint64_t>(count_.peak_bytes); }

  // For operator new and delete: the innermost account of this thread, or null.
  static HeapAccount*& current() noexcept;
  void add(int64_t size_bytes) noexcept;

 private:
  explicit HeapAccount(HeapTally* tally) noexcept;

  HeapAccount* outer_;
  HeapTally* tally_;  // may be null
  HeapTally count_;
};

// Gives memory that is free back to the system, after work that took much and gave it back. A millisecond or so.
void trim_heap() noexcept;
struct HeapTrim {  // at the end of a scope
  HeapTrim() = default;
  ~HeapTrim() { trim_heap(); }
  HeapTrim(const HeapTrim&) = delete;
  HeapTrim& operator=(const HeapTrim&) = delete;
};
// The heap that is in use says how; without one nothing is done.
void set_heap_trim(void (*trim)()) noexcept;

// Only in programs that link fastserve_heap_hooks (tests): every operator new and delete of the process is counted,
// and can be made to fail.
namespace heap_hooks {
struct Counts {
  uint64_t allocations;  // successful ones, since the start, of all threads
  uint64_t frees;        // of non-null addresses
  uint64_t failures;     // made to fail by fail_at
};
Counts counts() noexcept;
// The n-th allocation from now fails (n >= 1), and, with `and_all_after`, every one after it. 0 ends failing.
void fail_at(uint64_t n, bool and_all_after = false) noexcept;
}  // namespace heap_hooks

}  // namespace fastserve
