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
DeviceResult open_queue(DeviceContext* context, DeviceQueue** queue, DeviceMessage* message);
void close_queue(DeviceQueue* queue);
DeviceResult copy_to_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message);
DeviceResult copy_to_host(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                          DeviceMessage* message);
DeviceResult copy_on_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message);
DeviceResult fill(DeviceQueue* queue, void* target, uint8_t value, size_t size_bytes, DeviceMessage* message);
DeviceResult wait(DeviceQueue* queue, DeviceMessage* message);

}  // namespace fastserve::kernels
