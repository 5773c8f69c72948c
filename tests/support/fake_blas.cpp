// A libcublasLt whose device is the processor: the functions that the device library calls, by their documented
// meaning: matrices lie column after column, a is transposed, d = alpha * a^T b + beta * c (+ bias of d's rows).
#include "support/fake_blas.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <vector>

namespace {

using fastserve::test::FakeBlasControl;

constexpr int32_t kInvalid = 7, kNotSupported = 15, kInternal = 14;
constexpr uint64_t kAlgorithmMark = 0x5eed;
constexpr size_t kWorkspaceBytes = 4096;  // that its algorithm wants

FakeBlasControl& control() {
  static auto* const made = new FakeBlasControl;
  return *made;
}
bool may_call() { return ++control().calls != control().fail_call; }
int32_t wrong() {
  ++control().wrong;
  return kInvalid;
}

struct Product {
  int32_t transposes_a = 0, epilogue = 1;
  const float* bias = nullptr;
};
struct Matrix {
  int32_t type;
  uint64_t rows, cols;
  int64_t leading;
};
struct Preference {
  size_t workspace_bytes = 0;
  uint32_t alignments[4] = {256, 256, 256, 256};
};
struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace_bytes;
  int32_t state;
  float waves;
  int32_t reserved[4];
};

template <typename T, typename... Args>
int32_t make(T** made, Args... args) {
  if (!may_call()) return kInternal;
  *made = new T{args...};
  ++control().objects;
  return 0;
}
template <typename T>
int32_t drop(T* object) {
  --control().objects;
  delete object;
  return 0;
}
template <typename T>
int32_t take(T& target, const void* value, size_t size_bytes) {
  if (size_bytes != sizeof(T)) return wrong();
  std::memcpy(&target, value, sizeof(T));
  return 0;
}

float bf16(const void* data, int64_t index) {
  uint16_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(data) + 2 * index, 2);
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

bool fits(const Product& product, const Matrix& a, const Matrix& b, const Matrix& c, const Matrix& d) {
  return product.transposes_a == 1 && a.type == 14 && b.type == 14 && c.type == 0 && d.type == 0 && a.rows == b.rows &&
         d.rows == a.cols && d.cols == b.cols && c.rows == d.rows && c.cols == d.cols && c.leading == d.leading &&
         a.leading >= static_cast<int64_t>(a.rows) && b.leading >= static_cast<int64_t>(b.rows) &&
         d.leading >= static_cast<int64_t>(d.rows) && a.leading % 8 == 0 && b.leading % 8 == 0 && d.leading % 4 == 0;
}
bool is_aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

struct Handle {};

}  // namespace

#define FAKE_BLAS extern "C" __attribute__((visibility("default")))

FAKE_BLAS FakeBlasControl* fsv_fake_blas_control() { return &control(); }
FAKE_BLAS size_t cublasLtGetVersion() { return 130099; }
FAKE_BLAS int32_t cublasLtCreate(Handle** handle) { return control().fails_to_open ? kInternal : make(handle); }
FAKE_BLAS int32_t cublasLtDestroy(Handle* handle) { return drop(handle); }
FAKE_BLAS int32_t cublasLtMatmulDescCreate(Product** product, int32_t compute, int32_t scale_type) {
  return compute == 68 && scale_type == 0 ? make(product) : wrong();
}
FAKE_BLAS int32_t cublasLtMatmulDescDestroy(Product* product) { return drop(product); }
FAKE_BLAS int32_t cublasLtMatmulDescSetAttribute(Product* product, int32_t attribute, const void* value,
                                                 size_t size_bytes) {
  if (!may_call()) return kInternal;
  if (attribute == 3) return take(product->transposes_a, value, size_bytes);
  if (attribute == 7) return take(product->epilogue, value, size_bytes);
  return attribute == 8 ? take(product->bias, value, size_bytes) : wrong();
}
FAKE_BLAS int32_t cublasLtMatrixLayoutCreate(Matrix** matrix, int32_t type, uint64_t rows, uint64_t cols,
                                             int64_t leading) {
  return make(matrix, type, rows, cols, leading);
}
FAKE_BLAS int32_t cublasLtMatrixLayoutDestroy(Matrix* matrix) { return drop(matrix); }
FAKE_BLAS int32_t cublasLtMatmulPreferenceCreate(Preference** preference) { return make(preference); }
FAKE_BLAS int32_t cublasLtMatmulPreferenceDestroy(Preference* preference) { return drop(preference); }
FAKE_BLAS int32_t cublasLtMatmulPreferenceSetAttribute(Preference* preference, int32_t attribute, const void* value,
                                                       size_t size_bytes) {
  if (!may_call()) return kInternal;
  if (attribute == 1) return take(preference->workspace_bytes, value, size_bytes);
  return attribute >= 5 && attribute <= 8 ? take(preference->alignments[attribute - 5], value, size_bytes) : wrong();
}
FAKE_BLAS int32_t cublasLtMatmulAlgoGetHeuristic(Handle*, Product* product, Matrix* a, Matrix* b, Matrix* c, Matrix* d,
                                                 Preference* preference, int32_t wanted, Heuristic* heuristic,
                                                 int32_t* found) {
  if (!may_call()) return kInternal;
  ++control().searches;
  *found = 0;
  if (control().knows_no_algorithm) return kNotSupported;
  for (const uint32_t alignment : preference->alignments) {
    if (alignment > 16) return wrong();  // more than anybody has promised
  }
  if (wanted < 1 || !fits(*product, *a, *b, *c, *d) || preference->workspace_bytes < kWorkspaceBytes) return wrong();
  *heuristic = {};
  heuristic->algorithm.data[0] = kAlgorithmMark;
  heuristic->workspace_bytes = kWorkspaceBytes;
  *found = 1;
  return 0;
}
FAKE_BLAS int32_t cublasLtMatmul(Handle*, Product* product, const float* alpha, const void* a, Matrix* a_matrix,
                                 const void* b, Matrix* b_matrix, const float* beta, const float* c, Matrix* c_matrix,
                                 float* d, Matrix* d_matrix, const Algorithm* algorithm, void* workspace,
                                 size_t workspace_bytes, void*) {
  if (!may_call() || ++control().products == control().fail_product) return kInternal;
  if (!fits(*product, *a_matrix, *b_matrix, *c_matrix, *d_matrix) || algorithm->data[0] != kAlgorithmMark ||
      workspace_bytes < kWorkspaceBytes || !is_aligned(a) || !is_aligned(b) || !is_aligned(d) || c != d) {
    return wrong();
  }
  std::memset(workspace, 0xee, workspace_bytes);
  for (uint64_t column = 0; column < d_matrix->cols; ++column) {
    for (uint64_t row = 0; row < d_matrix->rows; ++row) {
      double sum = 0;
      for (uint64_t k = 0; k < a_matrix->rows; ++k) {
        const auto a_index = static_cast<int64_t>(row) * a_matrix->leading + static_cast<int64_t>(k);
        const auto b_index = static_cast<int64_t>(column) * b_matrix->leading + static_cast<int64_t>(k);
        sum += static_cast<double>(bf16(a, a_index)) * static_cast<double>(bf16(b, b_index));
      }
      float& target = d[static_cast<int64_t>(column) * d_matrix->leading + static_cast<int64_t>(row)];
      const float before = *beta == 0.0F ? 0.0F : *beta * target;
      target = *alpha * static_cast<float>(sum) + before + (product->epilogue == 4 ? product->bias[row] : 0.0F);
    }
  }
  return 0;
}
