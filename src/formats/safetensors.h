// The header of one safetensors file: names, types, shapes and places of its tensors.
#pragma once
#include <string>
#include <vector>

#include "base/os.h"
#include "base/status.h"
#include "tensor/dtype.h"

namespace fastserve {

struct SafeTensor {
  std::string name;
  DType type = DType::kF32;    // F32, F16 or BF16
  std::vector<int64_t> shape;  // as the file has it: the last one is contiguous; at most 4
  uint64_t offset_bytes = 0;   // from the beginning of the file
  uint64_t size_bytes = 0;
};

// Tensors in the order of the file. Sizes and ranges are checked against the file; other element types than the three
// are kUnsupported and named, except in tensors for which `ignored` returns true.
Result<std::vector<SafeTensor>> parse_safetensors(os::File& file, bool (*ignored)(std::string_view name));

}  // namespace fastserve
