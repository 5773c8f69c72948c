// What the tests of device kernels share. The same tests run on the emulator, where memory ends at a guard page and
// threads run in two orders, and (FASTSERVE_REAL_DEVICE) on a device, in page-locked memory that host and device see.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "kernels/device_kernels.h"
#include "tensor/packing.h"
#if defined(FASTSERVE_REAL_DEVICE)
#include "gpu_check/real_device.h"
#else
#include "cuda/emulated_device.h"
#endif

namespace fastserve::test {

using kernels::DeviceMessage;
using kernels::DeviceResult;

// "Device memory": starts at a multiple of 16 bytes and ends where accesses fault, if the device can do that.
template <typename T>
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t count, int fill = 0xff) : count_(count), memory_((count * sizeof(T) + 15) / 16 * 16) {
    std::memset(memory_.data(), fill, (count * sizeof(T) + 15) / 16 * 16);
  }
  explicit DeviceMemory(const std::vector<T>& values) : DeviceMemory(values.size()) {
    if (!values.empty()) std::memcpy(memory_.data(), values.data(), values.size() * sizeof(T));
  }
  T* data() { return static_cast<T*>(memory_.data()); }
  const T* data() const { return static_cast<const T*>(memory_.data()); }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data()[i]; }
  std::vector<T> values() const { return {data(), data() + count_}; }

 private:
  size_t count_;
  DeviceBytes memory_;
};

// Containers whose elements a device reads.
template <typename T>
struct DeviceAllocator {
  using value_type = T;
  DeviceAllocator() = default;
  template <typename U>
  DeviceAllocator(const DeviceAllocator<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(size_t count) { return static_cast<T*>(allocate_shared(count * sizeof(T))); }
  void deallocate(T* memory, size_t) { release_shared(memory); }
  bool operator==(const DeviceAllocator&) const { return true; }
};

inline std::vector<float> random_floats(size_t count, uint32_t seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

// Runs `produce`, which returns a vector, twice, on the emulator with threads in ascending and in descending order: the
// same bytes, or a barrier is missing.
template <typename Produce>
auto in_both_orders(Produce&& produce) {
  set_order(Order::kDescending);
  const auto descending = produce();
  set_order(Order::kAscending);
  const auto ascending = produce();
  EXPECT_EQ(ascending.size(), descending.size());
  if (ascending.size() == descending.size() && !ascending.empty()) {
    EXPECT_EQ(0, std::memcmp(ascending.data(), descending.data(), ascending.size() * sizeof(ascending[0])))
        << "the order of threads shows in the result";
  }
  return ascending;
}

template <typename Entry, typename Args>
void run_entry(Entry entry, const Args& args) {
  DeviceMessage message = {};
  ASSERT_EQ(entry(device_queue(), &args, &message), DeviceResult::kOk) << message.text;
  ASSERT_EQ(wait_for_device(&message), DeviceResult::kOk) << message.text;
}

// |a - b| <= tolerance * (1 + |b|), NaN equal to NaN.
inline void expect_close(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_LE(std::fabs(a[i] - b[i]), tolerance * (1.0f + std::fabs(b[i])))
        << "at " << i << ": " << a[i] << " " << b[i];
  }
}

inline std::vector<float> copy_of(const float* data, size_t count) { return {data, data + count}; }

// A packed matrix in device memory.
class DeviceWeights {
 public:
  explicit DeviceWeights(const kernels::PackedMatrix& matrix)
      : bytes_(static_cast<size_t>((matrix.rows + 15) / 16 * matrix.panel_bytes)), matrix_(matrix) {
    std::memcpy(bytes_.data(), matrix.data, bytes_.size());
    matrix_.data = bytes_.data();
  }
  const kernels::PackedMatrix& matrix() const { return matrix_; }

 private:
  DeviceMemory<uint8_t> bytes_;
  kernels::PackedMatrix matrix_;
};

}  // namespace fastserve::test
