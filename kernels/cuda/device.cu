// Memory, queues and copies by the CUDA runtime, linked statically.
#include "kernels/cuda/device.cuh"

#include <cstdlib>
#include <cstring>

namespace fastserve::kernels {
namespace {

void append(DeviceMessage* message, const char* text) {
  const size_t used = strlen(message->text);
  const size_t room = sizeof(message->text) - 1 - used;
  const size_t length = strlen(text) < room ? strlen(text) : room;
  memcpy(message->text + used, text, length);
  message->text[used + length] = '\0';
}

DeviceResult result_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return DeviceResult::kOk;
    case cudaErrorMemoryAllocation:
      return DeviceResult::kOutOfMemory;
    case cudaErrorInvalidDevice:
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      return DeviceResult::kNotFound;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidResourceHandle:
      return DeviceResult::kInvalid;
    default:
      return DeviceResult::kLost;
  }
}

uint64_t memory_bandwidth(int32_t index) {
  int clock_khz = 0, bus_bits = 0;
  if (cudaDeviceGetAttribute(&clock_khz, cudaDevAttrMemoryClockRate, index) != cudaSuccess) return 0;
  if (cudaDeviceGetAttribute(&bus_bits, cudaDevAttrGlobalMemoryBusWidth, index) != cudaSuccess) return 0;
  return 2ULL * static_cast<uint64_t>(clock_khz) * 1000 * static_cast<uint64_t>(bus_bits) / 8;  // two edges a clock
}

}  // namespace

DeviceResult check_cuda(cudaError_t error, const char* what, DeviceMessage* message) {
  if (error == cudaSuccess) return DeviceResult::kOk;
  cudaGetLastError();
  message->text[0] = '\0';
  append(message, what);
  append(message, ": ");
  append(message, cudaGetErrorString(error));
  return result_of(error);
}

DeviceResult count_devices(int32_t* count, DeviceMessage* message) {
  int found = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  *count = error == cudaSuccess ? found : 0;
  const DeviceResult result = check_cuda(error, "cannot count the CUDA devices", message);
  return result == DeviceResult::kNotFound ? DeviceResult::kOk : result;
}

DeviceResult describe_device(int32_t index, DeviceFacts* facts, DeviceMessage* message) {
  cudaDeviceProp properties;
  DeviceResult result =
      check_cuda(cudaGetDeviceProperties(&properties, index), "cannot describe the CUDA device", message);
  if (result != DeviceResult::kOk) return result;
  *facts = {};
  memcpy(facts->name, properties.name, sizeof(facts->name) - 1);  // CUDA's is longer, and ends with zeros
  facts->l2_bytes = static_cast<uint32_t>(properties.l2CacheSize);
  facts->multiprocessor_count = properties.multiProcessorCount;
  facts->architecture = 10 * properties.major + properties.minor;
  facts->shares_memory_with_host = properties.integrated;
  facts->bandwidth_bytes_per_second = memory_bandwidth(index);
  facts->page_bytes = device_page_bytes(index);
  size_t available = 0, total = 0;
  DeviceContext primary = {};
  primary.index = index;
  const cudaError_t error = on_device(primary, [&] { return cudaMemGetInfo(&available, &total); });
  facts->memory_bytes = total;
  facts->memory_available_bytes = available;
  return check_cuda(error, "cannot ask the CUDA device for its free memory", message);
}

DeviceResult allocate(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message) {
  const cudaError_t error = on_device(*context, [&] { return cudaMalloc(address, size_bytes); });
  return check_cuda(error, "cannot allocate device memory", message);
}

void release(DeviceContext* context, void* address) {
  on_device(*context, [&] { return cudaFree(address); });
}

DeviceResult allocate_host(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message) {
  const cudaError_t error =
      on_device(*context, [&] { return cudaHostAlloc(address, size_bytes, cudaHostAllocPortable); });
  return check_cuda(error, "cannot allocate page-locked host memory", message);
}

void release_host(DeviceContext* context, void* address) {
  on_device(*context, [&] { return cudaFreeHost(address); });
}

DeviceResult open_queue(DeviceContext* context, DevicePriority priority, DeviceQueue** queue, DeviceMessage* message) {
  auto* opened = static_cast<DeviceQueue*>(malloc(sizeof(DeviceQueue)));
  *queue = opened;
  if (opened == nullptr) return check_cuda(cudaErrorMemoryAllocation, "cannot open a CUDA stream", message);
  *opened = {context, context->host_stream, true};
  if (priority == DevicePriority::kHost && context->host_stream != nullptr) return DeviceResult::kOk;
  opened->is_hosts = false;
  const cudaError_t error = on_device(*context, [&] {
    int lowest = 0, highest = 0;
    const cudaError_t asked = cudaDeviceGetStreamPriorityRange(&lowest, &highest);
    if (asked != cudaSuccess) return asked;
    const int wanted = priority == DevicePriority::kNormal ? (lowest + highest) / 2 : lowest;
    return cudaStreamCreateWithPriority(&opened->stream, cudaStreamNonBlocking, wanted);
  });
  if (error != cudaSuccess) {
    free(opened);
    *queue = nullptr;
  }
  return check_cuda(error, "cannot open a CUDA stream", message);
}

void close_queue(DeviceQueue* queue) {
  if (queue == nullptr) return;
  if (!queue->is_hosts) on_device(*queue->context, [&] { return cudaStreamDestroy(queue->stream); });
  free(queue);
}

DeviceResult copy_to_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message) {
  const cudaError_t error = on_device(*queue->context, [&] {
    return cudaMemcpyAsync(target, source, size_bytes, cudaMemcpyHostToDevice, queue->stream);
  });
  return check_cuda(error, "cannot copy to the device", message);
}

DeviceResult copy_to_host(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                          DeviceMessage* message) {
  const cudaError_t error = on_device(*queue->context, [&] {
    return cudaMemcpyAsync(target, source, size_bytes, cudaMemcpyDeviceToHost, queue->stream);
  });
  return check_cuda(error, "cannot copy from the device", message);
}

DeviceResult copy_on_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message) {
  const cudaError_t error = on_device(*queue->context, [&] {
    return cudaMemcpyAsync(target, source, size_bytes, cudaMemcpyDeviceToDevice, queue->stream);
  });
  return check_cuda(error, "cannot copy on the device", message);
}

DeviceResult fill(DeviceQueue* queue, void* target, uint8_t value, size_t size_bytes, DeviceMessage* message) {
  const cudaError_t error =
      on_device(*queue->context, [&] { return cudaMemsetAsync(target, value, size_bytes, queue->stream); });
  return check_cuda(error, "cannot fill device memory", message);
}

DeviceResult wait(DeviceQueue* queue, DeviceMessage* message) {
  const cudaError_t error = on_device(*queue->context, [&] { return cudaStreamSynchronize(queue->stream); });
  return check_cuda(error, "work on the device failed", message);
}

}  // namespace fastserve::kernels
