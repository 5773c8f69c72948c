// Sixteen rows' blocks of a K-block in turn: each word goes to its row's lane of one vector.
#include "tensor/word_packing.h"

#include <cstring>

#include "kernels/packed_layout.h"
#include "tensor/packing.h"
#include "tensor/words.h"

namespace fastserve {
namespace {

using kernels::kActivationBlock;
using kernels::kPanelRows;
using kernels::LayoutShape;

constexpr int kVectorBytes = kPanelRows * 4;

// Where the parts of a file's block of 32 columns lie, in bytes.
struct BlockFormat {
  int bytes;
  bool has_min;        // behind the scale
  int high_bits;       // a word: bit i is the fifth bit of column i; 0: none
  int quants;          // kWords words
  int words;           // 4: nibbles (columns i and i + 16 share a byte), 8: bytes
  uint32_t sign_bits;  // that change sides: the panel's bytes are unsigned
};
constexpr BlockFormat kQ40 = {18, false, 0, 2, 4, 0};
constexpr BlockFormat kQ41 = {20, true, 0, 4, 4, 0};
constexpr BlockFormat kQ50 = {22, false, 2, 6, 4, 0};
constexpr BlockFormat kQ51 = {24, true, 4, 8, 4, 0};
constexpr BlockFormat kQ80 = {34, false, 0, 2, 8, 0x80808080U};

// Every fourth bit of a word from bit 0 on, side by side.
uint32_t every_fourth_bit(uint32_t bits) {
  bits &= 0x11111111U;
  bits = (bits | bits >> 3) & 0x03030303U;
  bits = (bits | bits >> 6) & 0x000f000fU;
  return (bits | bits >> 12) & 0xffU;
}

// Byte j, bit t: bit 4t + j.
uint32_t spread_high_bits(uint32_t bits) {
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) word |= every_fourth_bit(bits >> j) << (8 * j);
  return word;
}

template <BlockFormat kFormat>
void pack_block(const uint8_t* from, int64_t stride, int row_count, uint8_t* scales, uint8_t* quants) {
  for (int row = 0; row < row_count; ++row, from += stride, scales += 2, quants += 4) {
    std::memcpy(scales, from, 2);
    if constexpr (kFormat.has_min) std::memcpy(scales + 2 * kPanelRows, from + 2, 2);
    for (int word = 0; word < kFormat.words; ++word) {
      const uint32_t value = load_word(from + kFormat.quants + 4 * word) ^ kFormat.sign_bits;
      store_word(quants + kVectorBytes * word, value);
    }
    if constexpr (kFormat.high_bits != 0) {
      const uint32_t value = spread_high_bits(load_word(from + kFormat.high_bits));
      store_word(quants + kVectorBytes * kFormat.words, value);
    }
  }
}

template <BlockFormat kFormat>
void pack_all(PackedLayout layout, const uint8_t* source, int64_t row_count, int64_t cols, uint8_t* panel) {
  const LayoutShape shape = kernels::layout_shape(layout);
  const int64_t blocks = cols / kActivationBlock, stride = blocks * kFormat.bytes;
  const bool is_filled = row_count == kPanelRows && blocks % shape.group_blocks == 0;
  if (!is_filled) std::memset(panel, 0, static_cast<size_t>(packed_panel_bytes(layout, cols)));
  for (int64_t block = 0; block < blocks; ++block) {
    uint8_t* group = panel + block / shape.group_blocks * shape.group_bytes;
    const int64_t sub = block % shape.group_blocks;
    pack_block<kFormat>(source + block * kFormat.bytes, stride, static_cast<int>(row_count),
                        group + sub * kPanelRows * 2, group + shape.quants_offset + sub * shape.block_bytes);
  }
}

}  // namespace

bool pack_words(DType type, const uint8_t* source, int64_t row_count, int64_t cols, uint8_t* panel) {
  switch (type) {
    case DType::kQ4_0:
      pack_all<kQ40>(PackedLayout::kQ4, source, row_count, cols, panel);
      return true;
    case DType::kQ4_1:
      pack_all<kQ41>(PackedLayout::kQ4Min, source, row_count, cols, panel);
      return true;
    case DType::kQ5_0:
      pack_all<kQ50>(PackedLayout::kQ5, source, row_count, cols, panel);
      return true;
    case DType::kQ5_1:
      pack_all<kQ51>(PackedLayout::kQ5Min, source, row_count, cols, panel);
      return true;
    case DType::kQ8_0:
      pack_all<kQ80>(PackedLayout::kQ8, source, row_count, cols, panel);
      return true;
    default:
      return false;
  }
}

}  // namespace fastserve
