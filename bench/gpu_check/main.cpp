// gpu_check: everything that only a GPU can show, in one run: each kernel against the CPU's reference (the tests of
// tests/cuda on the device), drawing, memory that is given back, and speed. Without a device: exit code 77.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "gpu_check/real_device.h"
#include "gpu_check/speed.h"

namespace {

using fastserve::test::Measurement;
using fastserve::test::RealDevice;

constexpr int kExitSkipped = 77;

void print_json(const std::vector<Measurement>& measurements, int failed, int passed, long long leaked) {
  std::printf("{\"device\":\"%s\",\"tests_passed\":%d,\"tests_failed\":%d,\"leaked_bytes\":%lld,\"speed\":[",
              RealDevice::instance().facts().name, passed, failed, leaked);
  for (size_t i = 0; i < measurements.size(); ++i) {
    const Measurement& m = measurements[i];
    std::printf("%s{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"share\":%.4f}", i == 0 ? "" : ",", m.name.c_str(),
                m.value, m.unit.c_str(), m.share);
  }
  std::printf("]}\n");
}

int check() {
  constexpr int kCycles = 10000;
  const int tests = RUN_ALL_TESTS();
  std::string failure;
  const long long leaked = fastserve::test::leaked_bytes(kCycles, failure);
  std::printf("%d cycles of memory: %lld bytes less than before\n", kCycles, leaked);
  std::vector<Measurement> speed;
  if (failure.empty()) speed = fastserve::test::measure_speed(failure);
  for (const Measurement& m : speed) {
    std::printf("%-34s %9.1f %-6s", m.name.c_str(), m.value, m.unit.c_str());
    if (m.share > 0) std::printf(" %5.1f %% of the bandwidth", 100 * m.share);
    std::printf("\n");
  }
  if (!failure.empty()) std::printf("failed: %s\n", failure.c_str());
  const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
  print_json(speed, unit.failed_test_count(), unit.successful_test_count(), leaked);
  return tests == 0 && failure.empty() && leaked <= 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::string reason;
  if (!RealDevice::open(reason)) {
    std::printf("gpu_check: skipped: %s\n", reason.c_str());
    return kExitSkipped;
  }
  const auto& facts = RealDevice::instance().facts();
  std::printf("gpu_check: %s, sm_%d, %.1f GB/s\n", facts.name, facts.architecture,
              static_cast<double>(facts.bandwidth_bytes_per_second) / 1e9);
  const int result = check();
  RealDevice::close();
  return result;
}
