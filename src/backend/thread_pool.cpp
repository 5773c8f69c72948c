// Executors: the caller alone, and a pool of persistent workers. A run costs one store of the epoch word, plus one
// wake-up call if a worker sleeps; workers and the caller spin for at most 20 us before they sleep.
#include <atomic>
#include <vector>

#include "backend/executor.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/os.h"

namespace fastserve {
namespace {

constexpr int64_t kSpinNs = 20000;
constexpr uint32_t kWidthMax = 1024;
constexpr size_t kCacheLineBytes = 64;

class SerialExecutor final : public Executor {
 public:
  uint32_t width() const noexcept override { return 1; }
  void run(Task task, void* context) noexcept override { task(context, 0, 1); }
};

void relax_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until word != value; false when it was still equal after kSpinNs.
bool spin_while_equal(const std::atomic<uint32_t>& word, uint32_t value) noexcept {
  const auto differs = [&] {
    for (int i = 0; i < 32; ++i) {
      if (word.load(std::memory_order_acquire) != value) return true;
      relax_cpu();
    }
    return false;
  };
  if (differs()) return true;
  const int64_t end_ns = system_clock().now_ns() + kSpinNs;
  do {
    if (differs()) return true;
  } while (system_clock().now_ns() < end_ns);
  return false;
}

const uint32_t* futex_word(const std::atomic<uint32_t>& word) noexcept {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);
  return reinterpret_cast<const uint32_t*>(&word);
}

// Order matters in two places, both of the kind "I store mine, then look at yours": run() stores the epoch and then
// looks for sleepers, a worker counts itself asleep and then looks at the epoch; and likewise for the last worker and
// a sleeping caller. Those four accesses are sequentially consistent, so at least one side sees the other.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(uint32_t width) : width_(width) {}
  ~ThreadPool() override {
    stop_.store(true, std::memory_order_relaxed);
    publish_epoch();
    threads_.clear();  // joins
  }

  Status start(const os::ThreadSettings& settings) {
    workers_.resize(width_ - 1);
    threads_.reserve(width_ - 1);
    for (uint32_t i = 0; i + 1 < width_; ++i) {
      workers_[i] = {this, i + 1};
      Result<os::Thread> thread = os::Thread::start("fsv-worker", worker_entry, &workers_[i], settings);
      if (!thread.ok()) {
        return Status(thread.status().code(),
                      format("worker ", i + 1, " of ", width_ - 1, ": ", thread.status().message()));
      }
      threads_.push_back(thread.take());
    }
    return {};
  }

  uint32_t width() const noexcept override { return width_; }

  void run(Task task, void* context) noexcept override {
    if (width_ == 1) return task(context, 0, 1);
    task_ = task;
    context_ = context;
    unfinished_.store(width_ - 1, std::memory_order_relaxed);
    publish_epoch();
    task(context, 0, width_);
    wait_for_workers();
  }

 private:
  struct Worker {
    ThreadPool* pool = nullptr;
    uint32_t part = 0;
  };

  void publish_epoch() noexcept {
    epoch_.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (sleeper_count_.load(std::memory_order_seq_cst) != 0) os::wake_all_on_word(futex_word(epoch_));
  }

  void wait_for_workers() noexcept {
    uint32_t unfinished;
    while ((unfinished = unfinished_.load(std::memory_order_acquire)) != 0) {
      if (spin_while_equal(unfinished_, unfinished)) continue;
      caller_sleeps_.store(true, std::memory_order_seq_cst);
      while ((unfinished = unfinished_.load(std::memory_order_seq_cst)) != 0) {
        os::wait_on_word(futex_word(unfinished_), unfinished);
      }
      caller_sleeps_.store(false, std::memory_order_relaxed);
    }
  }

  void wait_for_epoch_after(uint32_t seen) noexcept {
    if (spin_while_equal(epoch_, seen)) return;
    sleeper_count_.fetch_add(1, std::memory_order_seq_cst);
    while (epoch_.load(std::memory_order_seq_cst) == seen) os::wait_on_word(futex_word(epoch_), seen);
    sleeper_count_.fetch_sub(1, std::memory_order_relaxed);
  }

  static void worker_entry(void* raw) {
    const Worker worker = *static_cast<Worker*>(raw);
    worker.pool->work(worker.part);
  }

  void work(uint32_t part) noexcept {
    // An epoch cannot be missed: run() waits for every worker before it publishes the next one.
    for (uint32_t seen = 0;; ++seen) {
      wait_for_epoch_after(seen);
      if (stop_.load(std::memory_order_relaxed)) return;
      task_(context_, part, width_);
      if (unfinished_.fetch_sub(1, std::memory_order_seq_cst) == 1 && caller_sleeps_.load(std::memory_order_seq_cst)) {
        os::wake_all_on_word(futex_word(unfinished_));
      }
    }
  }

  const uint32_t width_;
  std::vector<Worker> workers_;
  std::vector<os::Thread> threads_;
  std::atomic<bool> stop_{false};
  // Written by the caller, read by workers after the epoch.
  alignas(kCacheLineBytes) std::atomic<uint32_t> epoch_{0};
  Task task_ = nullptr;
  void* context_ = nullptr;
  // Written by workers.
  alignas(kCacheLineBytes) std::atomic<uint32_t> unfinished_{0};
  std::atomic<bool> caller_sleeps_{false};
  alignas(kCacheLineBytes) std::atomic<uint32_t> sleeper_count_{0};
};

}  // namespace

std::unique_ptr<Executor> create_serial_executor() { return std::make_unique<SerialExecutor>(); }

Result<std::unique_ptr<Executor>> create_thread_pool(uint32_t width, const os::ThreadSettings& settings) {
  if (width == 0 || width > kWidthMax) {
    return Status(StatusCode::kInvalidArgument, format("thread count ", width, " is outside 1..", kWidthMax));
  }
  auto pool = std::make_unique<ThreadPool>(width);
  FSV_TRY(pool->start(settings));  // on failure the destructor stops the workers that did start
  return std::unique_ptr<Executor>(std::move(pool));
}

}  // namespace fastserve
