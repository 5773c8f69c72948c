// Executor: runs one task on several threads and waits for it. Partition is static: part i of n.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/os.h"
#include "base/status.h"

namespace fastserve {

class Executor {
 public:
  virtual ~Executor() = default;
  virtual uint32_t width() const noexcept = 0;  // parts that run at once, the caller's own included
  using Task = void (*)(void* context, uint32_t part, uint32_t part_count);
  // Calls task(context, i, width()) for every i and returns when all are done. The caller runs part 0.
  // One run at a time (the engine thread's).
  virtual void run(Task task, void* context) noexcept = 0;

  template <typename F>
  void run(F&& f) noexcept {
    using Function = std::remove_reference_t<F>;
    run([](void* context, uint32_t part, uint32_t part_count) { (*static_cast<Function*>(context))(part, part_count); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }
};

// Part i of n of `count` items, in contiguous near-equal ranges.
struct Range {
  int64_t begin, end;
};
inline Range split_range(int64_t count, uint32_t part, uint32_t part_count) {
  const int64_t base = count / part_count, rest = count % part_count;
  const int64_t begin = base * part + (part < rest ? part : rest);
  return {begin, begin + base + (part < rest ? 1 : 0)};
}

// The caller alone.
std::unique_ptr<Executor> create_serial_executor();
// `width` - 1 persistent workers that spin for at most 20 us after work, then sleep.
Result<std::unique_ptr<Executor>> create_thread_pool(uint32_t width, const os::ThreadSettings& settings = {});

}  // namespace fastserve
