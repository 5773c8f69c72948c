// What a host left open.
#include "engine/options.h"

#include <algorithm>

namespace fastserve {

const kernels::KernelTable& kernel_table(const EngineOptions& options) {
  return options.reference_kernels ? kernels::reference_cpu_table() : kernels::best_cpu_table();
}

EngineOptions with_defaults(EngineOptions options) {
  if (options.thread_count == 0) {
    options.thread_count = os::usable_cpu_count();
    const auto given = static_cast<uint32_t>(std::min<size_t>(options.threads.cpus.size(), UINT32_MAX));
    if (given != 0) options.thread_count = std::min(options.thread_count, given);
  }
  if (options.executor != nullptr) options.thread_count = options.executor->width();
  if (options.clock == nullptr) options.clock = std::shared_ptr<const Clock>(std::shared_ptr<void>(), &system_clock());
  if (options.files == nullptr) options.files = system_files();
  return options;
}

}  // namespace fastserve
