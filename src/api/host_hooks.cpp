// Memory, time and threads behind the host's callbacks.
#include "api/host_hooks.h"

#include <atomic>
#include <vector>

#include "api/shim.h"
#include "base/os.h"

namespace fastserve::api {
namespace {

class HostMemory final : public MemoryResource {
 public:
  explicit HostMemory(const fsv_allocator& hook) : hook_(hook) {}

  // Kernels read rows that nobody has written yet (and give them no weight): they must hold numbers.
  void* allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept override {
    void* address = hook_.allocate(hook_.context, size_bytes, alignment, static_cast<uint32_t>(use));
    if (address == nullptr) return nullptr;
    if (reinterpret_cast<uintptr_t>(address) % alignment != 0) {
      deallocate(address, size_bytes, alignment, use);
      return nullptr;
    }
    std::memset(address, 0, size_bytes);
    return address;
  }
  void deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept override {
    hook_.deallocate(hook_.context, address, size_bytes, alignment, static_cast<uint32_t>(use));
  }

 private:
  const fsv_allocator hook_;
};

class HostClock final : public Clock {
 public:
  explicit HostClock(const fsv_clock& hook) : hook_(hook) {}
  // Never goes back, whatever the host's does.
  int64_t now_ns() const noexcept override {
    const uint64_t now = std::min<uint64_t>(hook_.now_ns(hook_.context), kLatestNs);
    uint64_t latest = latest_.load(std::memory_order_relaxed);
    while (latest < now && !latest_.compare_exchange_weak(latest, now, std::memory_order_relaxed)) {
    }
    return static_cast<int64_t>(std::max(latest, now));
  }

 private:
  static constexpr uint64_t kLatestNs = uint64_t{INT64_MAX} / 2;  // deadlines are added to it
  const fsv_clock hook_;
  mutable std::atomic<uint64_t> latest_{0};
};

// Every part runs exactly once, whatever the host does with its calls: the engine's thread takes the parts that the
// host left out, and waits for those that it began.
class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(const fsv_executor& hook) : hook_(hook), is_taken_(hook.width) {}

  uint32_t width() const noexcept override { return hook_.width; }
  void run(Task task, void* context) noexcept override {
    if (hook_.width == 1) return task(context, 0, 1);
    task_ = task;
    context_ = context;
    done_count_.store(0, std::memory_order_relaxed);
    for (std::atomic<bool>& taken : is_taken_) taken.store(false, std::memory_order_release);
    (void)hook_.run(hook_.context, hook_.width, &HostExecutor::run_part, this);
    for (uint32_t part = 0; part < hook_.width; ++part) take(part);
    for (uint32_t done; (done = done_count_.load(std::memory_order_acquire)) != hook_.width;) {
      os::wait_on_word(reinterpret_cast<const uint32_t*>(&done_count_), done);
    }
  }

 private:
  static void run_part(void* self, uint32_t part) noexcept { static_cast<HostExecutor*>(self)->take(part); }
  void take(uint32_t part) noexcept {
    if (part >= hook_.width || is_taken_[part].exchange(true, std::memory_order_acq_rel)) return;
    task_(context_, part, hook_.width);
    if (done_count_.fetch_add(1, std::memory_order_acq_rel) + 1 == hook_.width) {
      os::wake_all_on_word(reinterpret_cast<const uint32_t*>(&done_count_));
    }
  }

  const fsv_executor hook_;
  std::vector<std::atomic<bool>> is_taken_;
  std::atomic<uint32_t> done_count_{0};
  Task task_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace

Result<std::shared_ptr<MemoryResource>> host_memory(const fsv_allocator* allocator) {
  FSV_ASSIGN(const fsv_allocator hook, config_argument(allocator, fsv_allocator{}, "config.allocator"));
  if (hook.allocate == nullptr || hook.deallocate == nullptr) {
    return invalid("config.allocator: allocate and deallocate must not be NULL");
  }
  return std::shared_ptr<MemoryResource>(std::make_shared<HostMemory>(hook));
}

Result<std::shared_ptr<const Clock>> host_clock(const fsv_clock* clock) {
  FSV_ASSIGN(const fsv_clock hook, config_argument(clock, fsv_clock{}, "config.clock"));
  if (hook.now_ns == nullptr) return invalid("config.clock: now_ns must not be NULL");
  return std::shared_ptr<const Clock>(std::make_shared<HostClock>(hook));
}

Result<std::shared_ptr<Executor>> host_executor(const fsv_executor* executor) {
  constexpr uint32_t kWidthMax = 1024;
  FSV_ASSIGN(const fsv_executor hook, config_argument(executor, fsv_executor{}, "config.executor"));
  if (hook.run == nullptr) return invalid("config.executor: run must not be NULL");
  if (hook.width == 0 || hook.width > kWidthMax) {
    return invalid(format("config.executor: width is ", hook.width, ", 1 to ", kWidthMax, " are possible"));
  }
  return std::shared_ptr<Executor>(std::make_shared<HostExecutor>(hook));
}

}  // namespace fastserve::api
