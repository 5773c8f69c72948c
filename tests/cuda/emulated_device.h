// What the tests of device kernels share: memory that ends at a guard page, and runs in both orders of threads.
#pragma once
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "cuda/simt_host.h"
#include "kernels/cuda/entries.cuh"
#include "kernels/device_kernels.h"
#include "tensor/packing.h"

namespace fastserve::test {

using kernels::DeviceMessage;
using kernels::DeviceResult;
using kernels::kDeviceKernels;

// "Device memory": starts at a multiple of 16 bytes, and what is read or written behind its end faults.
template <typename T>
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t count, int fill = 0xff) : count_(count) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t used = (count * sizeof(T) + 15) / 16 * 16, whole = (used + page - 1) / page * page;
    mapped_bytes_ = whole + page;
    void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<uint8_t*>(memory);
    mprotect(base_ + whole, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + whole - used);
    std::memset(static_cast<void*>(data_), fill, used);
  }
  explicit DeviceMemory(const std::vector<T>& values) : DeviceMemory(values.size()) {
    if (!values.empty()) std::memcpy(static_cast<void*>(data_), values.data(), values.size() * sizeof(T));
  }
  ~DeviceMemory() { munmap(base_, mapped_bytes_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  std::vector<T> values() const { return {data_, data_ + count_}; }

 private:
  size_t count_, mapped_bytes_ = 0;
  uint8_t* base_ = nullptr;
  T* data_ = nullptr;
};

inline std::vector<float> random_floats(size_t count, uint32_t seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

// Runs `produce`, which returns a vector, with threads in ascending and in descending order: the same bytes, or a
// barrier is missing.
template <typename Produce>
auto in_both_orders(Produce&& produce) {
  simt::set_order(simt::Order::kDescending);
  const auto descending = produce();
  simt::set_order(simt::Order::kAscending);
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
  ASSERT_EQ(entry(nullptr, &args, &message), DeviceResult::kOk) << message.text;
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
