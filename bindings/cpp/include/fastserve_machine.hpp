// What can be asked without an engine: devices, the machine, what a model's file holds and what it would take. Part of
// fastserve.hpp.
#pragma once
#include <fastserve.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fastserve_result.hpp"
#include "fastserve_types.hpp"

namespace fsv {

// Those of a kind (FSV_DEVICE_*) on this machine; asking for CUDA's loads its driver, where there is one.
inline Result<std::vector<DeviceInfo>> devices(uint32_t kind = FSV_DEVICE_CPU) {
  uint32_t count = 0;
  auto done = detail::call(Done{}, fsv_device_count, kind, &count);
  if (!done) return done.error();
  std::vector<DeviceInfo> devices(count);
  for (uint32_t i = 0; i < count; ++i) {
    done = detail::call(Done{}, fsv_device_get_info, kind, i, static_cast<fsv_device_info*>(&devices[i]));
    if (!done) return done.error();
  }
  return devices;
}

// What the library found out about this machine; measures nothing.
inline Result<MachineInfo> machine() { return detail::info<MachineInfo, fsv_machine_info>(fsv_machine_probe); }

// Ceilings of this machine, measured for `duration_ms` on so many threads (0: as many as an engine has).
inline Result<MachineCeilings> measure_machine(uint32_t thread_count = 0, uint32_t duration_ms = 500) {
  return detail::info<MachineCeilings, fsv_machine_ceilings>(fsv_machine_measure, thread_count, duration_ms);
}

// Reads a file's header and says what it holds.
inline Result<ModelInfo> inspect(std::string_view path) {
  return detail::info<ModelInfo, fsv_model_info>(fsv_model_inspect, path.data(), path.size());
}

// All metadata and tensors of a file, as one JSON object.
inline Result<std::string> inspect_json(std::string_view path) {
  return detail::fill<std::string>([path](char* buffer, size_t capacity, size_t* size, fsv_error* error) {
    return fsv_model_inspect_json(path.data(), path.size(), buffer, capacity, size, error);
  });
}

// Which kernels of this processor serve which tensors of a file, as one JSON object.
inline Result<std::string> plan_json(std::string_view path) {
  return detail::fill<std::string>([path](char* buffer, size_t capacity, size_t* size, fsv_error* error) {
    return fsv_model_plan_json(path.data(), path.size(), buffer, capacity, size, error);
  });
}

// What the model would take in an engine of this configuration.
inline Result<MemoryEstimate> estimate(std::string_view path, const EngineConfig& engine = {}, LoadConfig load = {}) {
  load.path = path.data();
  load.path_size = path.size();
  return detail::info<MemoryEstimate, fsv_memory_estimate>(
      fsv_model_estimate, static_cast<const fsv_load_config*>(&load), static_cast<const fsv_engine_config*>(&engine));
}

}  // namespace fsv
