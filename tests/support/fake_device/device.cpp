// The fake device library's table: every call can be made to fail; queued work is kept until wait().
#include <cstdio>
#include <cstring>
#include <memory>

#include "support/fake_device/fake_device.h"

namespace fastserve::test {

FakeDeviceControl& control() {
  static auto* const made = new FakeDeviceControl;
  return *made;
}

kernels::DeviceResult refuse(kernels::DeviceResult result, kernels::DeviceMessage* message, const char* text) {
  std::snprintf(message->text, sizeof(message->text), "%s", text);
  return result;
}

bool may_call(const char* name, kernels::DeviceResult* result, kernels::DeviceMessage* message) {
  FakeDeviceControl& fake = control();
  const int64_t number = ++fake.calls;
  *result = kernels::DeviceResult::kOk;
  if (number == fake.fail_at) {
    *result = static_cast<kernels::DeviceResult>(fake.result.load());
    if (*result == kernels::DeviceResult::kLost) fake.is_lost = true;
  } else if (fake.is_lost) {
    *result = kernels::DeviceResult::kLost;
  }
  if (*result == kernels::DeviceResult::kOk) return true;
  std::snprintf(message->text, sizeof(message->text), "the fake device fails in %s", name);
  return false;
}

kernels::DeviceResult queue_work(kernels::DeviceQueue* queue, const char* name, kernels::DeviceMessage* message,
                                 kernels::FakeWork work) {
  kernels::DeviceResult result;
  if (!may_call(name, &result, message)) {
    queue->recording_failed = queue->is_recording;
    return result;
  }
  (queue->is_recording ? queue->recorded : queue->pending).push_back(std::move(work));
  return result;
}

}  // namespace fastserve::test

namespace fastserve::kernels {
namespace {

using test::control;
using test::may_call;
using test::queue_work;
using test::refuse;

DeviceContext* const kContext = reinterpret_cast<DeviceContext*>(uintptr_t{64});

DeviceResult count_devices(int32_t* count, DeviceMessage* message) {
  DeviceResult result;
  *count = may_call("count_devices", &result, message) ? control().device_count.load() : 0;
  return result;
}

DeviceResult describe_device(int32_t index, DeviceFacts* facts, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("describe_device", &result, message)) return result;
  if (index != 0) return refuse(DeviceResult::kNotFound, message, "there is one fake device");
  *facts = {};
  std::strcpy(facts->name, "Fake device");
  facts->memory_bytes = facts->memory_available_bytes = uint64_t{4} << 30;
  facts->page_bytes = control().has_pages ? uint64_t{2} << 20 : 0;
  return result;
}

DeviceResult open_device(const DeviceOpening* opening, DeviceContext** context, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("open_device", &result, message)) return result;
  if (opening->context == test::kForeignContext) {
    return refuse(DeviceResult::kRefused, message, "the host's context is one of another device");
  }
  control().context_given = opening->context;
  control().stream_given = opening->stream;
  control().uses_blas = opening->uses_blas != 0;
  std::snprintf(control().blas_folder, sizeof control().blas_folder, "%s", opening->blas_folder);
  *context = kContext;
  ++control().devices_open;
  return result;
}

void close_device(DeviceContext*) { --control().devices_open; }

uint32_t product_flags(DeviceContext*) { return control().uses_blas && control().has_blas ? kDeviceBlas : 0; }

int32_t take_note(DeviceContext*, DeviceMessage* note) {
  if (!control().has_note.exchange(false)) return 0;
  std::snprintf(note->text, sizeof note->text, "a note of the fake device");
  return 1;
}

DeviceResult allocate(DeviceContext*, size_t size_bytes, void** address, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("allocate", &result, message)) return result;
  ++control().allocations;
  *address = test::take_block(size_bytes);
  if (*address == nullptr) return refuse(DeviceResult::kOutOfMemory, message, "the fake device is full");
  return result;
}

void release(DeviceContext*, void* address) { test::give_block(address); }

DeviceResult allocate_host(DeviceContext*, size_t size_bytes, void** address, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("allocate_host", &result, message)) return result;
  ++control().host_allocations;
  *address = test::take_host_block(size_bytes);
  return result;
}

void release_host(DeviceContext*, void* address) { test::give_host_block(address); }

DeviceResult open_queue(DeviceContext*, DevicePriority priority, DeviceQueue** queue, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("open_queue", &result, message)) return result;
  *queue = new DeviceQueue;
  (*queue)->is_hosts = priority == DevicePriority::kHost && control().stream_given != nullptr;
  ++control().queues_open;
  return result;
}

void close_queue(DeviceQueue* queue) {
  if (queue == nullptr) return;
  --control().queues_open;
  delete queue;
}

// Page-locked memory is read when the copy runs, other memory now.
DeviceResult copy_to_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message) {
  ++control().copies_up;
  if (test::is_host_block(source)) {
    return queue_work(queue, "copy_to_device", message, [=] { std::memcpy(target, source, size_bytes); });
  }
  const auto* bytes = static_cast<const uint8_t*>(source);
  return queue_work(queue, "copy_to_device", message, [target, copy = std::vector<uint8_t>(bytes, bytes + size_bytes)] {
    std::memcpy(target, copy.data(), copy.size());
  });
}

DeviceResult copy_to_host(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                          DeviceMessage* message) {
  ++control().copies_down;
  control().bytes_down += static_cast<int64_t>(size_bytes);
  return queue_work(queue, "copy_to_host", message, [=] { std::memcpy(target, source, size_bytes); });
}

DeviceResult copy_on_device(DeviceQueue* queue, void* target, const void* source, size_t size_bytes,
                            DeviceMessage* message) {
  ++control().copies_inside;
  return queue_work(queue, "copy_on_device", message, [=] { std::memcpy(target, source, size_bytes); });
}

DeviceResult fill(DeviceQueue* queue, void* target, uint8_t value, size_t size_bytes, DeviceMessage* message) {
  return queue_work(queue, "fill", message, [=] { std::memset(target, value, size_bytes); });
}

// Work that was queued before a failure runs, or is dropped with a lost device.
DeviceResult wait(DeviceQueue* queue, DeviceMessage* message) {
  ++control().waits;
  DeviceResult result;
  const bool is_well = may_call("wait", &result, message);
  const std::vector<FakeWork> work = std::exchange(queue->pending, {});
  if (!is_well) return result;
  const test::MemoryOpened opened;
  for (const FakeWork& piece : work) piece();
  if (queue->is_hosts) control().work_in_hosts_stream += static_cast<int64_t>(work.size());
  return result;
}

DeviceResult begin_capture(DeviceQueue* queue, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("begin_capture", &result, message)) return result;
  if (control().refuses_graphs) return refuse(DeviceResult::kInvalid, message, "the fake device records nothing");
  queue->is_recording = true;
  queue->recording_failed = false;
  return result;
}

DeviceResult end_capture(DeviceQueue* queue, DeviceGraph** graph, DeviceMessage* message) {
  *graph = nullptr;
  std::vector<FakeWork> work = std::exchange(queue->recorded, {});
  queue->is_recording = false;
  DeviceResult result;
  if (!may_call("end_capture", &result, message)) return result;
  if (queue->recording_failed) return refuse(DeviceResult::kInvalid, message, "a recording was broken");
  *graph = new DeviceGraph{std::move(work)};
  ++control().graphs_recorded;
  ++control().graphs_live;
  return result;
}

DeviceResult launch_graph(DeviceQueue* queue, DeviceGraph* graph, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("launch_graph", &result, message)) return result;
  ++control().graphs_launched;
  queue->pending.insert(queue->pending.end(), graph->work.begin(), graph->work.end());
  return result;
}

void close_graph(DeviceGraph* graph) {
  if (graph == nullptr) return;
  --control().graphs_live;
  delete graph;
}

DeviceResult reserve_addresses(DeviceContext*, size_t size_bytes, void** address, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("reserve_addresses", &result, message)) return result;
  *address = test::take_range(size_bytes);
  return *address != nullptr ? result : refuse(DeviceResult::kOutOfMemory, message, "no addresses are left");
}

void free_addresses(DeviceContext*, void* address, size_t) { test::give_range(address); }

DeviceResult map_pages(DeviceContext*, void* address, size_t size_bytes, DeviceMessage* message) {
  DeviceResult result;
  if (!may_call("map_pages", &result, message)) return result;
  ++control().pages_mapped;
  return test::open_pages(address, size_bytes) ? result
                                               : refuse(DeviceResult::kOutOfMemory, message, "the fake device is full");
}

void unmap_pages(DeviceContext*, void* address, size_t) { test::close_pages(address); }

const DeviceApi& table() {
  static const DeviceApi made = {kDeviceApiVersion,
                                 sizeof(DeviceApi),
                                 count_devices,
                                 describe_device,
                                 open_device,
                                 close_device,
                                 product_flags,
                                 take_note,
                                 allocate,
                                 release,
                                 allocate_host,
                                 release_host,
                                 open_queue,
                                 close_queue,
                                 copy_to_device,
                                 copy_to_host,
                                 copy_on_device,
                                 fill,
                                 wait,
                                 begin_capture,
                                 end_capture,
                                 launch_graph,
                                 close_graph,
                                 reserve_addresses,
                                 free_addresses,
                                 map_pages,
                                 unmap_pages,
                                 &test::fake_kernels()};
  return made;
}

}  // namespace
}  // namespace fastserve::kernels

extern "C" __attribute__((visibility("default"))) const fastserve::kernels::DeviceApi* fsv_cuda_device_api(
    uint32_t version) {
  if (version != fastserve::kernels::kDeviceApiVersion) return nullptr;
  static fastserve::kernels::DeviceKernels kernels;
  static fastserve::kernels::DeviceApi api;
  kernels = fastserve::test::fake_kernels();
  if (fastserve::test::control().lacks_sampling) kernels.sample = nullptr;
  api = fastserve::kernels::table();
  api.kernels = &kernels;
  return &api;
}

extern "C" __attribute__((visibility("default"))) fastserve::test::FakeDeviceControl* fsv_fake_device_control() {
  return &fastserve::test::control();
}
