// Fuzzes the GGUF reader: any bytes are read or refused with a message, and tensors that were accepted can be read.
#include <cstring>
#include <vector>

#include "formats/memory_file.h"
#include "formats/model_source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fastserve;
  auto opened = open_gguf(std::make_unique<MemoryFile>(std::vector<uint8_t>(data, data + size)));
  if (!opened.ok()) {
    if (std::strlen(opened.status().message()) == 0) __builtin_trap();
    return 0;
  }
  ModelSource& source = **opened;
  for (std::string_view key : source.keys()) {
    if (source.find(key) == nullptr) __builtin_trap();
  }
  uint64_t total = 0;
  std::vector<uint8_t> bytes;
  for (const TensorInfo& tensor : source.tensors()) {
    if (source.find_tensor(tensor.name) == nullptr) __builtin_trap();
    total += tensor.size_bytes;
    if (total > size) __builtin_trap();  // ranges do not overlap, so they cannot add up to more than the file
    bytes.resize(static_cast<size_t>(tensor.size_bytes));
    if (!source.read_tensor(tensor, 0, bytes.data(), bytes.size()).ok()) __builtin_trap();
  }
  return 0;
}
