// What a test asks of the fake device library: to fail, and how often it was called. The library is the process's one
// libfastserve_cuda.so; its memory is out of the host's reach except while queued work runs, which is at wait() alone.
#pragma once
#include <atomic>
#include <cstdint>

#include "kernels/device_api.h"

namespace fastserve::test {

struct FakeDeviceControl {
  // The call of this number (from 1 on, counting from reset) fails with `result`; 0: none. With kLost all later calls
  // fail too, until reset.
  std::atomic<int64_t> fail_at{0};
  std::atomic<int32_t> result{static_cast<int32_t>(kernels::DeviceResult::kOutOfMemory)};
  std::atomic<bool> is_lost{false};
  std::atomic<bool> has_pages{false};       // of devices opened from now on
  std::atomic<uint64_t> memory_bytes{0};    // that can be allocated; 0: all there is
  std::atomic<bool> refuses_graphs{false};  // recording fails
  std::atomic<bool> lacks_sampling{false};  // no kernel for it, in libraries opened from now on
  std::atomic<int32_t> device_count{1};
  std::atomic<bool> has_blas{false}, has_note{false};
  // What the last device was opened with.
  std::atomic<void*> context_given{nullptr}, stream_given{nullptr};
  std::atomic<bool> uses_blas{false};
  char blas_folder[256] = {};

  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> allocations{0}, host_allocations{0}, pages_mapped{0};
  std::atomic<int64_t> copies_up{0}, copies_down{0}, copies_inside{0}, waits{0};
  std::atomic<int64_t> bytes_down{0}, draws{0};  // draws: rows
  std::atomic<int64_t> work_in_hosts_stream{0};  // pieces
  std::atomic<int64_t> blas_products{0};         // that may go to cuBLASLt
  std::atomic<int64_t> kernels{0}, graphs_recorded{0}, graphs_launched{0};
  // Live now.
  std::atomic<int64_t> devices_open{0}, queues_open{0}, blocks_live{0}, host_blocks_live{0}, pages_live{0};
  std::atomic<int64_t> ranges_live{0}, graphs_live{0};
};

// A host's context that the fake device refuses.
inline void* const kForeignContext = reinterpret_cast<void*>(uintptr_t{1} << 12);

constexpr const char* kFakeControlName = "fsv_fake_device_control";
using FakeControlEntry = FakeDeviceControl* (*)();

}  // namespace fastserve::test
