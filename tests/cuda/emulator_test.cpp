// The emulator itself: it computes what CUDA would, and finds what it is there to find.
#include "cuda/device_fixture.h"
#include "kernels/cuda/launch.cuh"

namespace fastserve::test {
namespace {

namespace cuda = kernels::cuda;

struct Out {
  float* data;
};

std::string run_kernel(void (*kernel)(Out), Out out, size_t shared_bytes = 1024) {
  DeviceMessage message = {};
  const DeviceResult result = cuda::launch(nullptr, "test", kernel, {2}, shared_bytes, &message, out);
  return result == DeviceResult::kOk ? "" : message.text;
}

void neighbours(Out out) {
  auto* shared = reinterpret_cast<float*>(simt::shared_memory());
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  out.data[threadIdx.x] = shared[(threadIdx.x + 1) % 256] + __shfl_xor_sync(cuda::kAllLanes, 1.0f, 1);
}

void neighbours_without_barrier(Out out) {
  auto* shared = reinterpret_cast<float*>(simt::shared_memory());
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  out.data[threadIdx.x] = shared[(threadIdx.x + 1) % 256];
}

void half_at_barrier(Out) {
  if (threadIdx.x < 100) __syncthreads();
}
void lanes_apart(Out) {
  if (threadIdx.x % 32 < 7) {
    __shfl_xor_sync(cuda::kAllLanes, 1.0f, 1);
  } else {
    __syncthreads();
  }
}
void different_operations(Out) {
  if (threadIdx.x % 2 == 0) {
    __shfl_xor_sync(cuda::kAllLanes, 1.0f, 1);
  } else {
    __ballot_sync(cuda::kAllLanes, 1);
  }
}
void copies_without_wait(Out out) {
  static const float source[4] = {1.0f, 2.0f, 3.0f, 4.0f};
  auto* shared = reinterpret_cast<float*>(simt::shared_memory());
  if (threadIdx.x == 0) {
    cuda::copy_async(shared, source, true);
    cuda::copy_async_commit();
    out.data[0] = shared[0];
    cuda::copy_async_wait<0>();
    out.data[1] = shared[1];
  }
}
void behind_shared_memory(Out) { simt::shared_memory()[1024 + threadIdx.x] = 1; }

TEST(Emulator, RunsBarriersAndShuffles) {
  DeviceMemory<float> out(256);
  const auto values = in_both_orders([&] {
    EXPECT_EQ(run_kernel(neighbours, {out.data()}), "");
    return out.values();
  });
  EXPECT_EQ(values[7], 9.0f);
  EXPECT_EQ(values[255], 1.0f);
}

TEST(Emulator, OrderShowsAMissingBarrier) {
  DeviceMemory<float> out(256);
  const auto run = [&](simt::Order order) {
    simt::set_order(order);
    EXPECT_EQ(run_kernel(neighbours_without_barrier, {out.data()}), "");
    simt::set_order(simt::Order::kAscending);
    return out.values();
  };
  const std::vector<float> up = run(simt::Order::kAscending), down = run(simt::Order::kDescending);
  EXPECT_NE(std::memcmp(up.data(), down.data(), up.size() * sizeof(float)), 0);
  EXPECT_TRUE(std::isnan(up[0])) << "shared memory starts as NaN";
}

TEST(Emulator, NamesThreadsThatMissABarrier) {
  EXPECT_EQ(run_kernel(half_at_barrier, {}),
            "test: block 0,0,0: threads 0-99 waits at __syncthreads; threads 100-255 is done;");
}

TEST(Emulator, NamesLanesAtDifferentOperations) {
  EXPECT_NE(run_kernel(lanes_apart, {}).find("__shfl_xor_sync; threads 7-31 waits at __syncthreads"),
            std::string::npos);
  EXPECT_NE(run_kernel(different_operations, {}).find("threads 1-1 waits at __ballot_sync"), std::string::npos);
}

TEST(Emulator, CopiesArriveWithTheirWait) {
  DeviceMemory<float> out(2);
  EXPECT_EQ(run_kernel(copies_without_wait, {out.data()}), "");
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_EQ(out[1], 2.0f);
}

TEST(EmulatorDeathTest, AccessBehindSharedMemoryFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run_kernel(behind_shared_memory, {}), "");
}

}  // namespace
}  // namespace fastserve::test
