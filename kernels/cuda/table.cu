// The table that the engine asks for.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/entries.cuh"

namespace fastserve::kernels {
namespace {

constexpr DeviceApi kTable = {
    kDeviceApiVersion,
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
    &kDeviceKernels,
};

}  // namespace
}  // namespace fastserve::kernels

extern "C" __attribute__((visibility("default"))) const fastserve::kernels::DeviceApi* fsv_cuda_device_api(
    uint32_t version) {
  using namespace fastserve::kernels;  // NOLINT(google-build-using-namespace)
  return version == kDeviceApiVersion ? &kTable : nullptr;
}
