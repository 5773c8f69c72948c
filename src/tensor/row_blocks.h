// Rows of quantised file types taken apart, 32 columns at a time: plain unsigned quants and the scales as stored.
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace fastserve {

struct RowBlock {
  uint8_t quants[32];  // with the layout's offset still in (see kernel_api.h); nibble codes for table types
  uint16_t scale;      // half: the block's scale, or d of a super-block
  uint16_t min;        // half: the block's minimum, or dmin
  uint8_t
      sub_scales[2];  // K-quants: of the first and second 16 columns (equal halves share [0]); bits of int8 if signed
  uint8_t sub_mins[2];
  float float_scale;  // table types: their whole scale
};

// Takes apart columns [32 * block, 32 * block + 32) of a row. Fields that the type lacks are left alone.
using RowReader = void (*)(const uint8_t* row, int64_t block, RowBlock* out);
RowReader row_reader_for(DType type);  // null for float types, and those that pack_words moves as they are

// The values of a table type's 16 codes, plus 128.
void value_table_for(DType type, uint8_t* table);

}  // namespace fastserve
