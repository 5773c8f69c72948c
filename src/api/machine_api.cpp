// Devices and the machine.
#include "api/shim.h"
#include "backend/ceilings.h"
#include "backend/device_library.h"
#include "base/os.h"
#include "kernels/kernel_api.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

std::string feature_text() {
  const kernels::CpuFeatures& cpu = kernels::cpu_features();
  std::string text;
  auto add = [&](bool has, const char* name) {
    if (has) text += text.empty() ? name : std::string(" ") + name;
  };
  add(cpu.avx2, "avx2");
  add(cpu.fma, "fma");
  add(cpu.f16c, "f16c");
  add(cpu.avx_vnni, "avx_vnni");
  add(cpu.avx512, "avx512");
  add(cpu.avx512_vnni, "avx512_vnni");
  add(cpu.avx512_bf16, "avx512_bf16");
  add(cpu.amx_int8, "amx_int8");
  add(cpu.amx_bf16, "amx_bf16");
  return text;
}

Status check_kind(uint32_t kind) {
  if (kind == FSV_DEVICE_CPU || kind == FSV_DEVICE_CUDA) return {};
  return invalid(format("there is no device kind ", kind));
}

void describe_cpu(fsv_device_info& info) {
  copy_text(info.name, os::cpu_name());
  info.memory_bytes = os::physical_memory_bytes();
  info.memory_available_bytes = os::available_memory_bytes();
}

Result<uint32_t> count_cuda() {
  FSV_ASSIGN(const std::shared_ptr<DeviceLibrary> library, DeviceLibrary::cuda());
  if (library == nullptr) return uint32_t{0};
  FSV_ASSIGN(const int32_t count, library->count_devices());
  return static_cast<uint32_t>(count);
}

Status describe_cuda(uint32_t index, fsv_device_info& info) {
  FSV_ASSIGN(const std::shared_ptr<DeviceLibrary> library, DeviceLibrary::cuda());
  if (library == nullptr) return {};
  FSV_ASSIGN(const kernels::DeviceFacts facts, library->describe_device(static_cast<int32_t>(index)));
  copy_text(info.name, facts.name);
  info.memory_bytes = facts.memory_bytes;
  info.memory_available_bytes = facts.memory_available_bytes;
  return {};
}

Result<uint32_t> device_count(uint32_t kind) { return kind == FSV_DEVICE_CPU ? Result<uint32_t>(1) : count_cuda(); }

}  // namespace

extern "C" {

void fsv_device_info_init(fsv_device_info* info, uint32_t struct_size) { init_struct(info, struct_size); }
void fsv_machine_info_init(fsv_machine_info* info, uint32_t struct_size) { init_struct(info, struct_size); }
void fsv_machine_ceilings_init(fsv_machine_ceilings* ceilings, uint32_t struct_size) {
  init_struct(ceilings, struct_size);
}

fsv_status fsv_device_count(uint32_t kind, uint32_t* count, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (count == nullptr) return invalid("count is NULL");
    FSV_TRY(check_kind(kind));
    FSV_ASSIGN(*count, device_count(kind));
    return {};
  });
}

fsv_status fsv_device_get_info(uint32_t kind, uint32_t index, fsv_device_info* info, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_TRY(check_kind(kind));
    FSV_ASSIGN(const uint32_t count, device_count(kind));
    if (index >= count) {
      return {StatusCode::kNotFound,
              format("there is no ", kind == FSV_DEVICE_CPU ? "CPU" : "CUDA", " device ", index)};
    }
    fsv_device_info filled{};
    filled.kind = kind;
    filled.index = index;
    if (kind == FSV_DEVICE_CPU) describe_cpu(filled);
    if (kind == FSV_DEVICE_CUDA) FSV_TRY(describe_cuda(index, filled));
    return fill_info(info, filled, "info");
  });
}

fsv_status fsv_machine_probe(fsv_machine_info* info, fsv_error* error) {
  return shim(error, [&]() -> Status {
    fsv_machine_info filled{};
    filled.logical_cpu_count = os::logical_cpu_count();
    filled.usable_cpu_count = os::usable_cpu_count();
    const os::CacheSizes caches = os::cache_sizes();
    filled.l1d_bytes = caches.l1d_bytes;
    filled.l2_bytes = caches.l2_bytes;
    filled.l3_bytes = caches.l3_bytes;
    filled.memory_bytes = os::physical_memory_bytes();
    copy_text(filled.cpu_name, os::cpu_name());
    copy_text(filled.cpu_features, feature_text());
    copy_text(filled.kernels, kernels::best_cpu_table().name);
    return fill_info(info, filled, "info");
  });
}

fsv_status fsv_machine_measure(uint32_t thread_count, uint32_t duration_ms, fsv_machine_ceilings* ceilings,
                               fsv_error* error) {
  return shim(error, [&]() -> Status {
    constexpr uint32_t kThreadsMax = 1024;
    if (thread_count > kThreadsMax) return invalid(format("thread_count is ", thread_count));
    FSV_ASSIGN(const Ceilings measured, measure_ceilings(thread_count != 0 ? thread_count : os::usable_cpu_count(),
                                                         std::clamp<uint32_t>(duration_ms, 50, 10000)));
    fsv_machine_ceilings filled{};
    filled.thread_count = measured.thread_count;
    filled.read_bytes_per_second = measured.read_bytes_per_second;
    filled.int8_ops_per_second = measured.int8_ops_per_second;
    filled.bf16_ops_per_second = measured.bf16_ops_per_second;
    filled.f32_ops_per_second = measured.f32_ops_per_second;
    return fill_info(ceilings, filled, "ceilings");
  });
}

}  // extern "C"
