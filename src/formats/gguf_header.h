// The header of one GGUF file, parsed and checked: metadata, tensors, and where their data lies.
#pragma once
#include <memory>
#include <vector>

#include "base/os.h"
#include "formats/table_source.h"

namespace fastserve {

struct GgufHeader {
  uint32_t version = 0;
  std::vector<MetaEntry> metadata;
  std::vector<TensorInfo> tensors;  // offset_bytes from the beginning of the file
};

// Bounds beyond what the file's size implies, so that a hostile file costs bounded memory.
struct GgufLimits {
  uint64_t tensor_count = uint64_t{1} << 20;
  uint64_t key_count = uint64_t{1} << 20;
  uint64_t array_size = uint64_t{1} << 24;
  uint64_t metadata_bytes = uint64_t{1} << 30;  // in memory
};

// Every count, length, offset and size is checked against the file and the limits before use.
Result<GgufHeader> parse_gguf_header(os::File& file, const GgufLimits& limits = {});

}  // namespace fastserve
