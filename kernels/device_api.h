// The boundary to a device library (libfastserve_cuda.so): one versioned table of C functions. No STL type, exception
// or ownership crosses it, so that the two libraries may be built by different compilers.
//
// Every function may be called from any thread; calls on one queue must not overlap. Functions that can fail return a
// DeviceResult and write a sentence to `message`.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fastserve::kernels {

constexpr uint32_t kDeviceApiVersion = 3;

enum class DeviceResult : int32_t {
  kOk = 0,
  kOutOfMemory = 1,
  kNotFound = 2,  // no such device
  kLost = 3,      // the device or its driver failed: nothing on it can be used any more
  kInvalid = 4,
  kRefused = 5,  // what the host gave (DeviceOpening) cannot be used
};

struct DeviceMessage {
  char text[256];
};

struct DeviceFacts {
  char name[128];
  uint64_t memory_bytes, memory_available_bytes;
  uint64_t bandwidth_bytes_per_second;  // of its memory, by its clock and bus; 0 unknown
  uint32_t l2_bytes;
  int32_t multiprocessor_count;
  int32_t architecture;             // 10 * major + minor: 90 is sm_90
  int32_t shares_memory_with_host;  // integrated: its memory is the host's
  uint64_t page_bytes;              // of map_pages; 0: this device maps none
};

struct DeviceContext;  // a device in use
struct DeviceQueue;    // work in order
struct DeviceGraph;    // work recorded once, to be queued again as a whole
struct DeviceKernels;  // device_kernels.h

// Among queues of one device: the lower one's work gives way to a renderer's. kHost: the stream that the host gave; the
// lower one where it gave none.
enum class DevicePriority : int32_t { kNormal = 0, kLow = 1, kHost = 2 };

// How a device is to be used. Strings are read before the return.
struct DeviceOpening {
  int32_t index;
  int32_t uses_blas;        // products of many rows by bf16 weights may go to cuBLASLt, if that is found
  const char* blas_folder;  // where it lies; null or empty: where the system's loader looks
  // The host's own CUcontext (current wherever it wants, here while it is needed) and CUstream of it, which outlive the
  // DeviceContext; null: the device's primary context, streams of our own.
  void* context;
  void* stream;
};

struct DeviceApi {
  uint32_t version;
  uint32_t struct_size;

  // No driver or no device is a count of 0, not an error.
  DeviceResult (*count_devices)(int32_t* count, DeviceMessage* message);
  DeviceResult (*describe_device)(int32_t index, DeviceFacts* facts, DeviceMessage* message);

  DeviceResult (*open_device)(const DeviceOpening* opening, DeviceContext** context, DeviceMessage* message);
  void (*close_device)(DeviceContext* context);
  // Flags that products on it may carry beside those that the engine chooses: kDeviceBlas, or none.
  uint32_t (*product_flags)(DeviceContext* context);
  // 1: `note` is a sentence that the host may want to log (which library computes, what that refused); 0: there is none
  // now. Any thread.
  int32_t (*take_note)(DeviceContext* context, DeviceMessage* note);

  // Plain allocations of the driver, at multiples of 256 bytes; the engine's pools cut them up.
  DeviceResult (*allocate)(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message);
  void (*release)(DeviceContext* context, void* address);
  // Page-locked host memory: copies from and to it run beside computation.
  DeviceResult (*allocate_host)(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message);
  void (*release_host)(DeviceContext* context, void* address);

  DeviceResult (*open_queue)(DeviceContext* context, DevicePriority priority, DeviceQueue** queue,
                             DeviceMessage* message);
  void (*close_queue)(DeviceQueue* queue);
  // Copies return before they are done; memory that is not page-locked is read before the return.
  DeviceResult (*copy_to_device)(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                                 DeviceMessage* message);
  DeviceResult (*copy_to_host)(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                               DeviceMessage* message);
  DeviceResult (*copy_on_device)(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                                 DeviceMessage* message);
  DeviceResult (*fill)(DeviceQueue* queue, void* target, uint8_t value, size_t size_bytes, DeviceMessage* message);
  // Waits until everything in the queue is done; reports what failed in it since the last wait.
  DeviceResult (*wait)(DeviceQueue* queue, DeviceMessage* message);

  // Between the two, work for the queue is recorded and not done; no wait, and copies between device addresses alone.
  // A recording that fails is over, and *graph null.
  DeviceResult (*begin_capture)(DeviceQueue* queue, DeviceMessage* message);
  DeviceResult (*end_capture)(DeviceQueue* queue, DeviceGraph** graph, DeviceMessage* message);
  DeviceResult (*launch_graph)(DeviceQueue* queue, DeviceGraph* graph, DeviceMessage* message);
  void (*close_graph)(DeviceGraph* graph);

  // Where facts.page_bytes is not 0: addresses without memory behind them, and memory for whole pages of them. All
  // sizes are multiples of page_bytes; a page is unmapped as it was mapped, alone or not.
  DeviceResult (*reserve_addresses)(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message);
  void (*free_addresses)(DeviceContext* context, void* address, size_t size_bytes);
  DeviceResult (*map_pages)(DeviceContext* context, void* address, size_t size_bytes, DeviceMessage* message);
  void (*unmap_pages)(DeviceContext* context, void* address, size_t size_bytes);

  const DeviceKernels* kernels;  // null: the library has none
};

// The one symbol that a device library exports under this type and the name kDeviceApiEntry: its table, or null where
// it does not speak `version`.
using DeviceApiEntry = const DeviceApi* (*)(uint32_t version);
constexpr const char* kDeviceApiEntryName = "fsv_cuda_device_api";

}  // namespace fastserve::kernels
