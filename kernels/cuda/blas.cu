// Products by cuBLASLt: a plan for each shape, made when the shape comes first. cuBLASLt sees columns where we see
// rows: weights [n][k] are a k x n matrix, to be transposed; rows [m][k] are k x m, the output [m][n] is n x m.
#include "kernels/cuda/blas.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace fastserve::kernels::cuda {
namespace {

constexpr int32_t kNoAlgorithm = -1;  // beside cuBLASLt's own, which are positive

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(find_blas_function(library, name));
  return function != nullptr;
}

bool find_functions(void* library, LtFunctions& lt) {
  return find(library, "cublasLtCreate", lt.create) && find(library, "cublasLtDestroy", lt.destroy) &&
         find(library, "cublasLtGetVersion", lt.version) &&
         find(library, "cublasLtMatmulDescCreate", lt.create_product) &&
         find(library, "cublasLtMatmulDescDestroy", lt.destroy_product) &&
         find(library, "cublasLtMatmulDescSetAttribute", lt.set_product) &&
         find(library, "cublasLtMatrixLayoutCreate", lt.create_matrix) &&
         find(library, "cublasLtMatrixLayoutDestroy", lt.destroy_matrix) &&
         find(library, "cublasLtMatmulPreferenceCreate", lt.create_preference) &&
         find(library, "cublasLtMatmulPreferenceDestroy", lt.destroy_preference) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", lt.set_preference) &&
         find(library, "cublasLtMatmulAlgoGetHeuristic", lt.find_algorithms) &&
         find(library, "cublasLtMatmul", lt.multiply);
}

#define FSV_LT_TRY(expression)            \
  do {                                    \
    const int32_t status_ = (expression); \
    if (status_ != 0) return status_;     \
  } while (false)

}  // namespace

Blas* Blas::open(const char* folder, DeviceMessage* note) {
  void* library = open_blas_library(folder, note);
  if (library == nullptr) return nullptr;
  void* const memory = malloc(sizeof(Blas));
  if (memory == nullptr) {
    snprintf(note->text, sizeof note->text, "no memory for cuBLASLt: our own kernels compute all products");
    close_blas_library(library);
    return nullptr;
  }
  auto* blas = new (memory) Blas;
  blas->library_ = library;
  if (!find_functions(library, blas->lt_)) {
    snprintf(note->text, sizeof note->text, "this cuBLASLt lacks functions: our own kernels compute all products");
    close(blas);
    return nullptr;
  }
  const int32_t status = blas->lt_.create(&blas->handle_);
  if (status != 0) {
    snprintf(note->text, sizeof note->text, "cuBLASLt cannot be used (status %d): our own kernels compute all products",
             static_cast<int>(status));
    blas->handle_ = nullptr;
    close(blas);
    return nullptr;
  }
  snprintf(note->text, sizeof note->text, "cuBLASLt %zu computes products of many rows by bf16 weights",
           blas->lt_.version());
  return blas;
}

void Blas::close(Blas* blas) {
  if (blas == nullptr) return;
  for (Plan& plan : blas->plans_) blas->drop(plan);
  if (blas->handle_ != nullptr) blas->lt_.destroy(blas->handle_);
  close_blas_library(blas->library_);
  blas->~Blas();
  free(blas);
}

void Blas::drop(Plan& plan) {
  if (plan.product != nullptr) lt_.destroy_product(plan.product);
  for (LtMatrix* matrix : {plan.weights, plan.rows, plan.output}) {
    if (matrix != nullptr) lt_.destroy_matrix(matrix);
  }
  plan = {};
}

// A new one takes the place of the oldest. What is queued does not know of plans.
Blas::Plan* Blas::find_plan(const BlasProduct& p) {
  for (Plan& plan : plans_) {
    if (plan.is_made && plan.m == p.m && plan.n == p.n && plan.k == p.k && plan.weights_stride == p.weights_stride &&
        plan.rows_stride == p.rows_stride && plan.output_stride == p.output_stride && plan.adds == p.adds &&
        plan.has_bias == (p.bias != nullptr)) {
      return &plan;
    }
  }
  Plan& plan = plans_[next_plan_];
  next_plan_ = (next_plan_ + 1) % kPlans;
  drop(plan);
  plan.m = p.m;
  plan.n = p.n;
  plan.k = p.k;
  plan.weights_stride = p.weights_stride;
  plan.rows_stride = p.rows_stride;
  plan.output_stride = p.output_stride;
  plan.adds = p.adds;
  plan.has_bias = p.bias != nullptr;
  plan.is_made = true;
  const int32_t status = make_plan(p, plan);
  plan.is_refused = status != 0;
  if (plan.is_refused) tell_refusal(p, status);
  return &plan;
}

int32_t Blas::make_plan(const BlasProduct& p, Plan& plan) {
  const auto m = static_cast<uint64_t>(p.m), n = static_cast<uint64_t>(p.n), k = static_cast<uint64_t>(p.k);
  FSV_LT_TRY(lt_.create_product(&plan.product, kLtComputeFloat, kLtFloat));
  FSV_LT_TRY(lt_.set_product(plan.product, kLtProductTransposeA, &kLtTransposed, sizeof kLtTransposed));
  const int32_t epilogue = plan.has_bias ? kLtEpilogueBias : kLtEpilogueNone;
  FSV_LT_TRY(lt_.set_product(plan.product, kLtProductEpilogue, &epilogue, sizeof epilogue));
  if (plan.has_bias) FSV_LT_TRY(lt_.set_product(plan.product, kLtProductBias, &p.bias, sizeof p.bias));
  FSV_LT_TRY(lt_.create_matrix(&plan.weights, kLtBf16, k, n, p.weights_stride));
  FSV_LT_TRY(lt_.create_matrix(&plan.rows, kLtBf16, k, m, p.rows_stride));
  FSV_LT_TRY(lt_.create_matrix(&plan.output, kLtFloat, n, m, p.output_stride));
  return choose_algorithm(p, plan);
}

int32_t Blas::choose_algorithm(const BlasProduct& p, Plan& plan) {
  LtPreference* preference = nullptr;
  FSV_LT_TRY(lt_.create_preference(&preference));
  int32_t status = lt_.set_preference(preference, kLtPreferWorkspace, &p.workspace_bytes, sizeof p.workspace_bytes);
  constexpr uint32_t kAlignment = 16;
  for (int32_t matrix = 0; matrix < 4 && status == 0; ++matrix) {
    status = lt_.set_preference(preference, kLtPreferAlignment + matrix, &kAlignment, sizeof kAlignment);
  }
  LtHeuristic heuristic = {};
  int32_t found = 0;
  if (status == 0) {
    status = lt_.find_algorithms(handle_, plan.product, plan.weights, plan.rows, plan.output, plan.output, preference,
                                 1, &heuristic, &found);
  }
  lt_.destroy_preference(preference);
  if (status != 0) return status;
  if (found < 1 || heuristic.state != 0 || heuristic.workspace_bytes > p.workspace_bytes) return kNoAlgorithm;
  plan.algorithm = heuristic.algorithm;
  plan.workspace_bytes = heuristic.workspace_bytes;
  return 0;
}

bool Blas::multiply(const BlasProduct& p, void* stream) {
  Plan& plan = *find_plan(p);
  if (plan.is_refused) return false;
  constexpr float kOne = 1.0f, kZero = 0.0f;
  int32_t status = plan.has_bias ? lt_.set_product(plan.product, kLtProductBias, &p.bias, sizeof p.bias) : 0;
  if (status == 0) {
    status = lt_.multiply(handle_, plan.product, &kOne, p.weights, plan.weights, p.rows, plan.rows,
                          p.adds ? &kOne : &kZero, p.output, plan.output, p.output, plan.output, &plan.algorithm,
                          p.workspace, plan.workspace_bytes, stream);
  }
  if (status == 0) return true;
  plan.is_refused = true;
  tell_refusal(p, status);
  return false;
}

// One that is not taken in time stays; later ones are alike.
void Blas::tell_refusal(const BlasProduct& p, int32_t status) {
  int32_t none = 0;
  if (!note_state_.compare_exchange_strong(none, 1)) return;
  snprintf(note_.text, sizeof note_.text,
           "cuBLASLt refuses %lld rows by weights of %lld x %lld (status %d): its own kernel computes them",
           static_cast<long long>(p.m), static_cast<long long>(p.n), static_cast<long long>(p.k),
           static_cast<int>(status));
  note_state_.store(2);
}

bool Blas::take_note(DeviceMessage* note) {
  int32_t there = 2;
  if (!note_state_.compare_exchange_strong(there, 1)) return false;
  *note = note_;
  note_state_.store(0);
  return true;
}

}  // namespace fastserve::kernels::cuda
