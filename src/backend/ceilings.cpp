// Ceilings: each loop runs on all threads at once until its share of the time is over; the best interval counts.
#include "backend/ceilings.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "backend/executor.h"
#include "base/clock.h"
#include "kernels/cpu/peak_loops.h"
#include "memory/memory_resource.h"

namespace fastserve {
namespace {

// Work per second of `body(part)`, which returns the work that one call did.
template <typename Body>
double rate(Executor& executor, int64_t duration_ns, Body&& body) {
  std::atomic<uint64_t> sink{0};
  double best = 0;
  const int64_t end_ns = system_clock().now_ns() + duration_ns;
  do {
    std::atomic<uint64_t> work{0};
    const int64_t start_ns = system_clock().now_ns();
    executor.run([&](uint32_t part, uint32_t) {
      uint64_t value = 0;
      work.fetch_add(body(part, value), std::memory_order_relaxed);
      sink.fetch_add(value, std::memory_order_relaxed);
    });
    const auto elapsed_ns = static_cast<double>(std::max<int64_t>(1, system_clock().now_ns() - start_ns));
    best = std::max(best, static_cast<double>(work.load()) * 1e9 / elapsed_ns);
  } while (system_clock().now_ns() < end_ns);
  return best;
}

}  // namespace

Result<Ceilings> measure_ceilings(uint32_t thread_count, uint32_t duration_ms) {
  constexpr size_t kReadBytes = size_t{256} << 20;
  constexpr uint64_t kRounds = 20000;
  const kernels::PeakLoops loops = kernels::peak_loops();
  FSV_ASSIGN(const std::unique_ptr<Executor> executor, create_thread_pool(thread_count));
  const size_t share = kReadBytes / thread_count / 4096 * 4096;
  FSV_ASSIGN(const Buffer buffer, Buffer::allocate(page_memory(), share * thread_count, MemoryUse::kOther));
  executor->run([&](uint32_t part, uint32_t) { std::memset(buffer.data() + part * share, 1, share); });
  const int64_t slice_ns = int64_t{duration_ms} * 1000000 / 4;
  Ceilings ceilings;
  ceilings.thread_count = thread_count;
  ceilings.read_bytes_per_second = rate(*executor, slice_ns, [&](uint32_t part, uint64_t& value) {
    value = loops.read(buffer.data() + part * share, share);
    return share;
  });
  auto arithmetic = [&](uint64_t (*loop)(uint64_t), uint64_t ops_per_round) {
    if (loop == nullptr) return 0.0;
    return rate(*executor, slice_ns, [&](uint32_t, uint64_t& value) {
      value = loop(kRounds);
      return kRounds * ops_per_round;
    });
  };
  ceilings.int8_ops_per_second = arithmetic(loops.int8, loops.int8_ops_per_round);
  ceilings.bf16_ops_per_second = arithmetic(loops.bf16, loops.bf16_ops_per_round);
  ceilings.f32_ops_per_second = arithmetic(loops.f32, loops.f32_ops_per_round);
  return ceilings;
}

}  // namespace fastserve
