// Memory in pages: address ranges of the driver, and physical memory mapped into them.
#include "kernels/cuda/device.cuh"

namespace fastserve::kernels {
namespace {

struct Driver {
  decltype(&cuMemGetAllocationGranularity) granularity = nullptr;
  decltype(&cuMemAddressReserve) reserve = nullptr;
  decltype(&cuMemAddressFree) free_range = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemRelease) release = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  bool complete() const {
    return granularity != nullptr && reserve != nullptr && free_range != nullptr && create != nullptr &&
           release != nullptr && map != nullptr && unmap != nullptr && set_access != nullptr;
  }
};

// Asked each time: pages are mapped rarely, and a static would need a lock.
Driver find_driver() {
  Driver driver;
  driver.granularity = driver_function<decltype(driver.granularity)>("cuMemGetAllocationGranularity");
  driver.reserve = driver_function<decltype(driver.reserve)>("cuMemAddressReserve");
  driver.free_range = driver_function<decltype(driver.free_range)>("cuMemAddressFree");
  driver.create = driver_function<decltype(driver.create)>("cuMemCreate");
  driver.release = driver_function<decltype(driver.release)>("cuMemRelease");
  driver.map = driver_function<decltype(driver.map)>("cuMemMap");
  driver.unmap = driver_function<decltype(driver.unmap)>("cuMemUnmap");
  driver.set_access = driver_function<decltype(driver.set_access)>("cuMemSetAccess");
  return driver;
}

CUmemAllocationProp page_properties(int32_t index) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = index;
  return properties;
}

cudaError_t as_runtime_error(CUresult result) {
  switch (result) {
    case CUDA_SUCCESS:
      return cudaSuccess;
    case CUDA_ERROR_OUT_OF_MEMORY:
      return cudaErrorMemoryAllocation;
    case CUDA_ERROR_INVALID_VALUE:
      return cudaErrorInvalidValue;
    default:
      return cudaErrorUnknown;
  }
}

CUdeviceptr as_driver_address(void* address) { return reinterpret_cast<CUdeviceptr>(address); }

}  // namespace

uint64_t device_page_bytes(int32_t index) {
  int has_pages = 0;
  const cudaError_t error = cudaDeviceGetAttribute(
      &has_pages, static_cast<cudaDeviceAttr>(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED), index);
  if (error != cudaSuccess) cudaGetLastError();
  const Driver driver = find_driver();
  if (error != cudaSuccess || has_pages == 0 || !driver.complete()) return 0;
  const CUmemAllocationProp properties = page_properties(index);
  size_t page = 0;
  const CUresult result = driver.granularity(&page, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  return result == CUDA_SUCCESS ? page : 0;
}

DeviceResult reserve_addresses(DeviceContext* context, size_t size_bytes, void** address, DeviceMessage* message) {
  const Driver driver = find_driver();
  CUdeviceptr begin = 0;
  const cudaError_t error =
      on_device(*context, [&] { return as_runtime_error(driver.reserve(&begin, size_bytes, 0, 0, 0)); });
  *address = error == cudaSuccess ? reinterpret_cast<void*>(begin) : nullptr;
  return check_cuda(error, "cannot reserve device addresses", message);
}

void free_addresses(DeviceContext* context, void* address, size_t size_bytes) {
  const Driver driver = find_driver();
  on_device(*context, [&] { return as_runtime_error(driver.free_range(as_driver_address(address), size_bytes)); });
}

// The memory's handle is given up at once: the mapping keeps the memory until it goes.
DeviceResult map_pages(DeviceContext* context, void* address, size_t size_bytes, DeviceMessage* message) {
  const Driver driver = find_driver();
  const CUdeviceptr begin = as_driver_address(address);
  const CUmemAllocationProp properties = page_properties(context->index);
  const cudaError_t error = on_device(*context, [&] {
    CUmemGenericAllocationHandle memory = 0;
    CUresult result = driver.create(&memory, size_bytes, &properties, 0);
    if (result != CUDA_SUCCESS) return as_runtime_error(result);
    result = driver.map(begin, size_bytes, 0, memory, 0);
    driver.release(memory);
    if (result != CUDA_SUCCESS) return as_runtime_error(result);
    CUmemAccessDesc access = {};
    access.location = properties.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    result = driver.set_access(begin, size_bytes, &access, 1);
    if (result != CUDA_SUCCESS) driver.unmap(begin, size_bytes);
    return as_runtime_error(result);
  });
  return check_cuda(error, "cannot map device memory", message);
}

void unmap_pages(DeviceContext* context, void* address, size_t size_bytes) {
  const Driver driver = find_driver();
  on_device(*context, [&] { return as_runtime_error(driver.unmap(as_driver_address(address), size_bytes)); });
}

}  // namespace fastserve::kernels
