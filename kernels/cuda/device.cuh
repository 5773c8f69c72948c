// What the functions of the device table share. Nothing here throws: this library has no exceptions.
#pragma once
#include <cuda.h>
#include <cuda_runtime.h>

#include "kernels/device_api.h"

namespace fastserve::kernels {

namespace cuda {
class Blas;
}

struct DeviceContext {
  int32_t index;
  // The host's; null: the device's primary one.
  CUcontext host_context;
  cudaStream_t host_stream;
  CUresult (*push)(CUcontext);
  CUresult (*pop)(CUcontext*);
  cuda::Blas* blas;  // null: there is none
  bool has_note;     // of how it was opened, to be told once
  DeviceMessage note;
};

struct DeviceQueue {
  DeviceContext* context;
  cudaStream_t stream;
  bool is_hosts;  // stream
};

// CUDA's current device and context belong to the calling thread: the host's own choice is put back.
class UseContext {
 public:
  explicit UseContext(const DeviceContext& context) : context_(context) {
    if (context.host_context != nullptr) {
      result_ = context.push(context.host_context) == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidResourceHandle;
      changed_ = result_ == cudaSuccess;
      return;
    }
    result_ = cudaGetDevice(&previous_);
    if (result_ == cudaSuccess && previous_ != context.index) {
      result_ = cudaSetDevice(context.index);
      changed_ = result_ == cudaSuccess;
    }
  }
  ~UseContext() {
    if (!changed_) return;
    if (context_.host_context == nullptr) {
      cudaSetDevice(previous_);
    } else {
      CUcontext popped = nullptr;
      context_.pop(&popped);
    }
  }
  UseContext(const UseContext&) = delete;
  UseContext& operator=(const UseContext&) = delete;
  cudaError_t result() const { return result_; }

 private:
  const DeviceContext& context_;
  int previous_ = 0;
  bool changed_ = false;
  cudaError_t result_ = cudaSuccess;
};

template <typename Call>
cudaError_t on_device(const DeviceContext& context, Call call) {
  const UseContext use(context);
  return use.result() != cudaSuccess ? use.result() : call();
}

// A function of the driver, asked of the runtime, so that nothing links libcuda; null: it has none of this name.
template <typename Function>
Function driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult state = cudaDriverEntryPointSymbolNotFound;
  constexpr unsigned kSince = 10020;  // of all that is asked for
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, kSince, cudaEnableDefault, &state);
  if (error != cudaSuccess) cudaGetLastError();
  const bool has = error == cudaSuccess && state == cudaDriverEntryPointSuccess;
  return has ? reinterpret_cast<Function>(found) : nullptr;
}

// Turns CUDA's answer into ours, with a sentence that names what was tried. Clears CUDA's own note of the error.
DeviceResult check_cuda(cudaError_t error, const char* what, DeviceMessage* message);

DeviceResult count_devices(int32_t* count, DeviceMessage* message);
DeviceResult describe_device(int32_t index, DeviceFacts* facts, DeviceMessage* message);
DeviceResult open_device(const DeviceOpening* opening, DeviceContext** context, DeviceMessage* message);
void close_device(DeviceContext* context);
uint32_t product_flags(DeviceContext* context);
int32_t take_note(DeviceContext* context, DeviceMessage* note);
DeviceResult allocate(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message);
void release(DeviceContext* context, void* address);
DeviceResult allocate_host(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message);
void release_host(DeviceContext* context, void* address);
DeviceResult open_queue(DeviceContext* context, DevicePriority priority, DeviceQueue** queue, DeviceMessage* message);
void close_queue(DeviceQueue* queue);
DeviceResult copy_to_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message);
DeviceResult copy_to_host(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                          DeviceMessage* message);
DeviceResult copy_on_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message);
DeviceResult fill(DeviceQueue* queue, void* target, uint8_t value, size_t size_bytes, DeviceMessage* message);
DeviceResult wait(DeviceQueue* queue, DeviceMessage* message);

// device_graph.cu
DeviceResult begin_capture(DeviceQueue* queue, DeviceMessage* message);
DeviceResult end_capture(DeviceQueue* queue, DeviceGraph** graph, DeviceMessage* message);
DeviceResult launch_graph(DeviceQueue* queue, DeviceGraph* graph, DeviceMessage* message);
void close_graph(DeviceGraph* graph);

// device_pages.cu
uint64_t device_page_bytes(int32_t index);
DeviceResult reserve_addresses(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message);
void free_addresses(DeviceContext* context, void* address, size_t size_bytes);
DeviceResult map_pages(DeviceContext* context, void* address, size_t size_bytes, DeviceMessage* message);
void unmap_pages(DeviceContext* context, void* address, size_t size_bytes);

}  // namespace fastserve::kernels
