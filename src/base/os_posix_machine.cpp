// POSIX: what the machine has and what of it this process may use. Linux reads /proc, /sys and its cgroup.
#ifndef _WIN32
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <string>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "base/format.h"
#include "base/os.h"

namespace fastserve::os {
namespace {

// The beginning of a small system file; empty if it cannot be read.
std::string read_text(const std::string& path, size_t limit_bytes = 65536) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string text;
  if (descriptor < 0) return text;
  char buffer[4096];
  while (text.size() < limit_bytes) {
    const ssize_t count = ::read(descriptor, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  ::close(descriptor);
  return text;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// The text after "name" and a colon, up to the line's end.
std::string_view field_of(std::string_view text, std::string_view name) {
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view line = text.substr(begin, end - begin);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && trim(line.substr(0, colon)) == name) return trim(line.substr(colon + 1));
    begin = end + 1;
  }
  return {};
}

// Leading decimal number; -1 if there is none.
int64_t number_of(std::string_view text) {
  text = trim(text);
  int64_t value = -1;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() ? value : -1;
}

#ifdef __linux__
// CPUs that a quota of `quota` microseconds in each `period` pays for, rounded up; 0 for no quota.
uint32_t cpus_of_quota(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<uint32_t>(std::clamp<int64_t>((quota + period - 1) / period, 1, 1 << 20));
}

uint32_t tighter(uint32_t a, uint32_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// The tightest quota on the way from our cgroup to the root: v2 ("cpu.max") or v1 ("cpu.cfs_*_us").
uint32_t cgroup_cpu_limit() {
  uint32_t limit = 0;
  const std::string groups = read_text("/proc/self/cgroup");
  for (size_t begin = 0; begin < groups.size();) {
    size_t end = groups.find('\n', begin);
    if (end == std::string::npos) end = groups.size();
    const std::string_view line = std::string_view(groups).substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && controllers != "cpu" && controllers != "cpu,cpuacct" && controllers != "cpuacct,cpu") continue;
    std::string path(line.substr(second + 1));
    for (int depth = 0; depth < 64; ++depth) {  // towards the root
      const std::string folder = (unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu") + (path == "/" ? "" : path);
      if (unified) {
        const std::string text = read_text(folder + "/cpu.max");  // "max 100000" or "150000 100000"
        const size_t space = text.find(' ');
        if (space != std::string::npos) {
          limit = tighter(limit, cpus_of_quota(number_of(text), number_of(text.substr(space))));
        }
      } else {
        limit = tighter(limit, cpus_of_quota(number_of(read_text(folder + "/cpu.cfs_quota_us")),
                                             number_of(read_text(folder + "/cpu.cfs_period_us"))));
      }
      if (path.empty() || path == "/") break;
      const size_t slash = path.find_last_of('/');
      path.resize(slash == std::string::npos ? 0 : slash);
    }
  }
  return limit;
}

uint32_t affinity_cpu_count() {
  // The kernel refuses masks smaller than its own: grow until it accepts.
  for (int cpus = 1024; cpus <= (1 << 18); cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) return 0;
    const size_t size = CPU_ALLOC_SIZE(cpus);
    const int result = ::sched_getaffinity(0, size, set);
    const int count = result == 0 ? CPU_COUNT_S(size, set) : 0;
    const bool too_small = result != 0 && errno == EINVAL;
    CPU_FREE(set);
    if (!too_small) return static_cast<uint32_t>(std::max(count, 0));
  }
  return 0;
}
#endif

uint32_t positive_u32(long value) { return value > 0 ? static_cast<uint32_t>(value) : 0; }

}  // namespace

uint32_t logical_cpu_count() { return std::max(positive_u32(::sysconf(_SC_NPROCESSORS_ONLN)), 1u); }

uint32_t usable_cpu_count() {
  uint32_t count = logical_cpu_count();
#ifdef __linux__
  if (const uint32_t affinity = affinity_cpu_count(); affinity != 0) count = affinity;
  if (const uint32_t quota = cgroup_cpu_limit(); quota != 0) count = std::min(count, quota);
#endif
  return std::max(count, 1u);
}

CacheSizes cache_sizes() {
  CacheSizes sizes;
#ifdef __linux__
  for (int index = 0; index < 8; ++index) {
    const std::string folder = format("/sys/devices/system/cpu/cpu0/cache/index", index, "/");
    const int64_t level = number_of(read_text(folder + "level"));
    if (level < 0) break;
    const std::string type = read_text(folder + "type");
    const std::string size_text = read_text(folder + "size");
    int64_t size = std::max<int64_t>(number_of(size_text), 0);
    if (size_text.find('K') != std::string::npos) size *= 1024;
    if (size_text.find('M') != std::string::npos) size *= 1024 * 1024;
    const auto bytes = static_cast<uint32_t>(std::min<int64_t>(size, UINT32_MAX));
    if (level == 1 && type.compare(0, 4, "Data") == 0) sizes.l1d_bytes = bytes;
    if (level == 2) sizes.l2_bytes = bytes;
    if (level == 3) sizes.l3_bytes = bytes;
  }
#elif defined(__APPLE__)
  const auto ask = [](const char* name) {
    uint64_t value = 0;
    size_t size = sizeof(value);
    return ::sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? static_cast<uint32_t>(value) : 0;
  };
  sizes = {ask("hw.l1dcachesize"), ask("hw.l2cachesize"), ask("hw.l3cachesize")};
#endif
  return sizes;
}

uint64_t physical_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) : 0;
}

uint64_t available_memory_bytes() {
  const std::string text = read_text("/proc/meminfo");
  const int64_t kilobytes = number_of(field_of(text, "MemAvailable"));
  return kilobytes < 0 ? physical_memory_bytes() : static_cast<uint64_t>(kilobytes) * 1024;
}

std::string cpu_name() {
#ifdef __APPLE__
  char name[256] = {};
  size_t size = sizeof(name) - 1;
  return ::sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 ? name : "";
#else
  const std::string text = read_text("/proc/cpuinfo");
  for (std::string_view key : {"model name", "Model", "Processor", "cpu model", "uarch"}) {
    const std::string_view name = field_of(text, key);
    if (!name.empty()) return std::string(name);
  }
  return {};
#endif
}

}  // namespace fastserve::os
#endif  // !_WIN32
