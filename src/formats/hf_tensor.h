// One tensor as a folder's source presents it: pieces of safetensors files, and the change between them and GGUF.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/os.h"
#include "formats/hf_names.h"
#include "formats/table_source.h"
#include "tensor/dtype.h"

namespace fastserve {

using HfFiles = std::vector<std::unique_ptr<os::File>>;

struct HfPiece {
  uint32_t file = 0;
  uint64_t offset_bytes = 0;
};

struct HfTensor {
  DType source_type = DType::kF32;  // in the files
  DType type = DType::kF32;         // as presented: vectors become F32
  HfChange change = HfChange::kNone;
  int64_t rows = 1, cols = 1;   // as presented; of one piece
  uint32_t heads = 1;           // of kPairs
  uint64_t piece_bytes = 0;     // in the files
  std::vector<HfPiece> pieces;  // of equal size, one after the other: one, or one for each expert
  std::vector<float> values;    // of a derived tensor, instead of pieces
};

// Reads bytes of a tensor as presented, whose range was checked. Matrices that only change their order of rows are
// read row by row; all else that changes is small, or kept whole by the caller (needs_whole).
Status read_hf_rows(const HfTensor& tensor, HfFiles& files, uint64_t offset_bytes, uint8_t* destination,
                    size_t size_bytes);
// True when a part of the tensor can be made from the whole alone.
bool needs_whole(const HfTensor& tensor);
Status read_hf_whole(const HfTensor& tensor, HfFiles& files, std::vector<uint8_t>& bytes);

}  // namespace fastserve
