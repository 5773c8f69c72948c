// cuBLASLt where a machine has it: products of many rows by bf16 weights are its, and our own where it is not there or
// refuses. It is loaded at run time; its functions and types are declared here as NVIDIA documents them (cuBLAS
// library, "Using the cuBLASLt API"), so that nothing of it is needed to compile.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernels/device_api.h"

namespace fastserve::kernels::cuda {

struct LtHandle;
struct LtProduct;
struct LtMatrix;
struct LtPreference;
struct LtAlgorithm {
  uint64_t data[8];
};
struct LtHeuristic {
  LtAlgorithm algorithm;
  size_t workspace_bytes;
  int32_t state;
  float waves;
  int32_t reserved[4];
};
constexpr int32_t kLtFloat = 0, kLtBf16 = 14, kLtComputeFloat = 68;
constexpr int32_t kLtProductTransposeA = 3, kLtProductEpilogue = 7, kLtProductBias = 8;
constexpr int32_t kLtTransposed = 1, kLtEpilogueNone = 1, kLtEpilogueBias = 4;
constexpr int32_t kLtPreferWorkspace = 1, kLtPreferAlignment = 5;  // of a; b, c and d follow

struct LtFunctions {
  int32_t (*create)(LtHandle**);
  int32_t (*destroy)(LtHandle*);
  size_t (*version)();
  int32_t (*create_product)(LtProduct**, int32_t compute, int32_t scale_type);
  int32_t (*destroy_product)(LtProduct*);
  int32_t (*set_product)(LtProduct*, int32_t attribute, const void* value, size_t size_bytes);
  int32_t (*create_matrix)(LtMatrix**, int32_t type, uint64_t rows, uint64_t cols, int64_t leading);
  int32_t (*destroy_matrix)(LtMatrix*);
  int32_t (*create_preference)(LtPreference**);
  int32_t (*destroy_preference)(LtPreference*);
  int32_t (*set_preference)(LtPreference*, int32_t attribute, const void* value, size_t size_bytes);
  int32_t (*find_algorithms)(LtHandle*, LtProduct*, LtMatrix* a, LtMatrix* b, LtMatrix* c, LtMatrix* d, LtPreference*,
                             int32_t wanted, LtHeuristic*, int32_t* found);
  int32_t (*multiply)(LtHandle*, LtProduct*, const void* alpha, const void* a, LtMatrix*, const void* b, LtMatrix*,
                      const void* beta, const void* c, LtMatrix*, void* d, LtMatrix*, const LtAlgorithm*,
                      void* workspace, size_t workspace_bytes, void* stream);
};

// output[m][n] (+)= rows[m][k] * weights[n][k]^T + bias[n]; weights and rows bf16, from multiples of 16 bytes on.
struct BlasProduct {
  const uint16_t* weights;
  int64_t weights_stride;
  const uint16_t* rows;
  int64_t rows_stride;
  float* output;
  int64_t output_stride;
  const float* bias;  // or null
  bool adds;
  int64_t m, n, k;
  void* workspace;
  size_t workspace_bytes;
};

// One for each context. Work comes from one queue at a time; notes are taken by any thread.
class Blas {
 public:
  // Looks for the library in `folder`, or where the loader looks; `folder` may be null. Null: there is none, and `note`
  // says why.
  static Blas* open(const char* folder, DeviceMessage* note);
  static void close(Blas* blas);

  // False: this shape is refused, and once a note says why.
  bool accepts(const BlasProduct& product) { return !find_plan(product)->is_refused; }
  // False: nothing was queued, and the shape is refused from now on.
  bool multiply(const BlasProduct& product, void* stream);
  // What there is to tell since the last time.
  bool take_note(DeviceMessage* note);

 private:
  // A shape, and how it is computed.
  struct Plan {
    int64_t m, n, k, weights_stride, rows_stride, output_stride;
    bool adds, has_bias, is_made, is_refused;
    LtProduct* product;
    LtMatrix *weights, *rows, *output;
    LtAlgorithm algorithm;
    size_t workspace_bytes;
  };
  static constexpr int kPlans = 64;

  Plan* find_plan(const BlasProduct& product);
  int32_t make_plan(const BlasProduct& product, Plan& plan);
  int32_t choose_algorithm(const BlasProduct& product, Plan& plan);
  void drop(Plan& plan);
  void tell_refusal(const BlasProduct& product, int32_t status);

  void* library_ = nullptr;
  LtFunctions lt_ = {};
  LtHandle* handle_ = nullptr;
  Plan plans_[kPlans] = {};
  int next_plan_ = 0;
  DeviceMessage note_ = {};
  std::atomic<int32_t> note_state_{0};  // 0: none, 1: being written or read, 2: there
};

// Of the dynamic loader (blas_os_posix.cu).
void* open_blas_library(const char* folder, DeviceMessage* note);
void* find_blas_function(void* library, const char* name);
void close_blas_library(void* library);

}  // namespace fastserve::kernels::cuda
