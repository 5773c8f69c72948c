// Fuzzes the safetensors header: tensors that were accepted lie inside the file, apart from each other.
#include <cstring>
#include <vector>

#include "formats/hf_names.h"
#include "formats/memory_file.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fastserve;
  MemoryFile file(std::vector<uint8_t>(data, data + size));
  const auto parsed = guarded([&] { return parse_safetensors(file, hf_name_ignored); });
  if (!parsed.ok()) {
    if (std::strlen(parsed.status().message()) == 0) __builtin_trap();
    return 0;
  }
  uint64_t total = 0;
  std::vector<uint8_t> bytes;
  for (const SafeTensor& tensor : *parsed) {
    total += tensor.size_bytes;
    if (total > size) __builtin_trap();
    bytes.resize(static_cast<size_t>(tensor.size_bytes));
    if (!file.read_at(tensor.offset_bytes, bytes.data(), bytes.size()).ok()) __builtin_trap();
  }
  return 0;
}
