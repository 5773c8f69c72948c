// Windows: what the machine has and what of it this process may use.
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/os.h"

namespace fastserve::os {

uint32_t logical_cpu_count() {
  return std::max<uint32_t>(static_cast<uint32_t>(::GetActiveProcessorCount(ALL_PROCESSOR_GROUPS)), 1);
}

uint32_t usable_cpu_count() {
  uint32_t count = logical_cpu_count();
  DWORD_PTR process = 0, system = 0;
  // The mask speaks of one processor group; on machines with several it is not the limit.
  if (::GetActiveProcessorGroupCount() == 1 && ::GetProcessAffinityMask(::GetCurrentProcess(), &process, &system) &&
      process != 0) {
    count = static_cast<uint32_t>(std::popcount(static_cast<uint64_t>(process)));
  }
  JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate{};
  if (::QueryInformationJobObject(nullptr, JobObjectCpuRateControlInformation, &rate, sizeof(rate), nullptr)) {
    const DWORD hard_cap = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
    if ((rate.ControlFlags & hard_cap) == hard_cap && rate.CpuRate != 0) {  // hundredths of a percent of all CPUs
      const uint64_t share = (uint64_t{rate.CpuRate} * logical_cpu_count() + 9999) / 10000;
      count = std::min(count, static_cast<uint32_t>(share));
    }
  }
  return std::max(count, 1u);
}

CacheSizes cache_sizes() {
  CacheSizes sizes;
  DWORD size = 0;
  ::GetLogicalProcessorInformation(nullptr, &size);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> table(size / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (table.empty() || !::GetLogicalProcessorInformation(table.data(), &size)) return sizes;
  for (const auto& row : table) {
    if (row.Relationship != RelationCache || row.Cache.Type == CacheInstruction) continue;
    if (row.Cache.Level == 1) sizes.l1d_bytes = std::max<uint32_t>(sizes.l1d_bytes, row.Cache.Size);
    if (row.Cache.Level == 2) sizes.l2_bytes = std::max<uint32_t>(sizes.l2_bytes, row.Cache.Size);
    if (row.Cache.Level == 3) sizes.l3_bytes = std::max<uint32_t>(sizes.l3_bytes, row.Cache.Size);
  }
  return sizes;
}

namespace {
MEMORYSTATUSEX memory_status() {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof(status);
  if (!::GlobalMemoryStatusEx(&status)) status.ullTotalPhys = status.ullAvailPhys = 0;
  return status;
}
}  // namespace

uint64_t physical_memory_bytes() { return memory_status().ullTotalPhys; }
uint64_t available_memory_bytes() { return memory_status().ullAvailPhys; }

std::string cpu_name() {
  char name[256] = {};
  DWORD size = sizeof(name) - 1;
  const LSTATUS status = ::RegGetValueA(HKEY_LOCAL_MACHINE, "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
                                        "ProcessorNameString", RRF_RT_REG_SZ, nullptr, name, &size);
  return status == ERROR_SUCCESS ? std::string(name, ::strnlen(name, sizeof(name))) : std::string();
}

}  // namespace fastserve::os
#endif  // _WIN32
