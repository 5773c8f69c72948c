// What a test asks of the stand-in for libcublasLt: to fail, and how often it was called. Its products are computed on
// the processor, at once.
#pragma once
#include <atomic>
#include <cstdint>

namespace fastserve::test {

struct FakeBlasControl {
  std::atomic<bool> fails_to_open{false};
  std::atomic<bool> knows_no_algorithm{false};
  std::atomic<int64_t> fail_product{0};  // the product of this number (from 1 on) fails; 0: none
  std::atomic<int64_t> fail_call{0};     // the same of all calls
  std::atomic<int64_t> calls{0}, searches{0}, products{0};
  std::atomic<int64_t> objects{0};  // live now: handles, products, matrices, preferences
  std::atomic<int64_t> wrong{0};    // calls whose arguments cuBLASLt would refuse, or would read or write wrongly
};
constexpr const char* kFakeBlasControlName = "fsv_fake_blas_control";
using FakeBlasEntry = FakeBlasControl* (*)();

}  // namespace fastserve::test
