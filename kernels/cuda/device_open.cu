// Devices in use: in their primary context, or in one of the host's; and the library that computes beside our kernels.
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/device.cuh"
#include "kernels/device_kernels.h"

namespace fastserve::kernels {
namespace {

DeviceResult refuse(DeviceMessage* message, const char* text) {
  snprintf(message->text, sizeof message->text, "%s", text);
  return DeviceResult::kRefused;
}

// The host's context must be one of the device that the engine was made for, its stream one of that context.
DeviceResult adopt_context(const DeviceOpening& opening, DeviceContext& context, DeviceMessage* message) {
  if (opening.context == nullptr && opening.stream == nullptr) return DeviceResult::kOk;
  context.host_context = static_cast<CUcontext>(opening.context);
  context.host_stream = static_cast<cudaStream_t>(opening.stream);
  if (opening.context != nullptr) {
    context.push = driver_function<CUresult (*)(CUcontext)>("cuCtxPushCurrent");
    context.pop = driver_function<CUresult (*)(CUcontext*)>("cuCtxPopCurrent");
    if (context.push == nullptr || context.pop == nullptr) {
      return refuse(message, "this CUDA driver does not take a host's context");
    }
  }
  int device = -1;
  const UseContext use(context);
  if (use.result() != cudaSuccess || cudaGetDevice(&device) != cudaSuccess) {
    return refuse(message, "the host's CUDA context cannot be used");
  }
  if (device != opening.index) return refuse(message, "the host's CUDA context is one of another device");
  unsigned flags = 0;
  if (opening.stream != nullptr && cudaStreamGetFlags(context.host_stream, &flags) != cudaSuccess) {
    cudaGetLastError();
    return refuse(message, "the host's CUDA stream is none of its context");
  }
  return DeviceResult::kOk;
}

}  // namespace

DeviceResult open_device(const DeviceOpening* opening, DeviceContext** context, DeviceMessage* message) {
  auto* opened = static_cast<DeviceContext*>(malloc(sizeof(DeviceContext)));
  if (opened == nullptr) return check_cuda(cudaErrorMemoryAllocation, "cannot open the CUDA device", message);
  *opened = {};
  opened->index = opening->index;
  DeviceResult result = adopt_context(*opening, *opened, message);
  if (result == DeviceResult::kOk) {
    const cudaError_t error = on_device(*opened, [] { return cudaFree(nullptr); });  // makes the primary context
    result = check_cuda(error, "cannot open the CUDA device", message);
  }
  if (result != DeviceResult::kOk) {
    free(opened);
    return result;
  }
  if (opening->uses_blas != 0) {
    const UseContext use(*opened);
    opened->blas = cuda::Blas::open(opening->blas_folder, &opened->note);
    opened->has_note = true;
  }
  *context = opened;
  return DeviceResult::kOk;
}

void close_device(DeviceContext* context) {
  {
    const UseContext use(*context);
    cuda::Blas::close(context->blas);
  }
  free(context);
}

uint32_t product_flags(DeviceContext* context) { return context->blas != nullptr ? kDeviceBlas : 0; }

int32_t take_note(DeviceContext* context, DeviceMessage* note) {
  if (context->has_note) {
    *note = context->note;
    context->has_note = false;
    return 1;
  }
  return context->blas != nullptr && context->blas->take_note(note) ? 1 : 0;
}

}  // namespace fastserve::kernels
