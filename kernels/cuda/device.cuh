// What the functions of the device table share. Nothing here throws: this library has no exceptions.
#pragma once
#include <cuda_runtime.h>

#include "kernels/device_api.h"

namespace fastserve::kernels {

struct DeviceContext {
  int32_t index;
};

struct DeviceQueue {
  int32_t device;
  cudaStream_t stream;
};

// CUDA's current device belongs to the calling thread: a host's own choice is put back.
class UseDevice {
 public:
  explicit UseDevice(int32_t index) {
    result_ = cudaGetDevice(&previous_);
    if (result_ == cudaSuccess && previous_ != index) {
      result_ = cudaSetDevice(index);
      changed_ = result_ == cudaSuccess;
    }
  }
  ~UseDevice() {
    if (changed_) cudaSetDevice(previous_);
  }
  UseDevice(const UseDevice&) = delete;
  UseDevice& operator=(const UseDevice&) = delete;
  cudaError_t result() const { return result_; }

 private:
  int previous_ = 0;
  bool changed_ = false;
  cudaError_t result_ = cudaSuccess;
};

template <typename Call>
cudaError_t on_device(int32_t index, Call call) {
  const UseDevice use(index);
  return use.result() != cudaSuccess ? use.result() : call();
}

// Turns CUDA's answer into ours, with a sentence that names what was tried. Clears CUDA's own note of the error.
DeviceResult check_cuda(cudaError_t error, const char* what, DeviceMessage* message);

DeviceResult count_devices(int32_t* count, DeviceMessage* message);
DeviceResult describe_device(int32_t index, DeviceFacts* facts, DeviceMessage* message);
DeviceResult open_device(int32_t index, DeviceContext** context, DeviceMessage* message);
void close_device(DeviceContext* context);
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
