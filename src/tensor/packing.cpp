// Packing: rows of a file's type become panels. First each K-block of a row is taken apart into plain quants and its
// scales (unpack_rows.cpp), then 16 rows' quants are woven into the vectors of the layout, four columns at a time.
#include "tensor/packing.h"

#include <algorithm>
#include <cstring>

#include "kernels/packed_layout.h"
#include "tensor/row_blocks.h"
#include "tensor/word_packing.h"
#include "tensor/words.h"

namespace fastserve {
namespace {

using kernels::kActivationBlock;
using kernels::kPanelRows;
using kernels::LayoutShape;

// Step t of a row is the word of columns 4t .. 4t+3; each writes its row's lane of one vector.
uint32_t pairs_word(const uint8_t* q, int vector, int shift) {
  uint32_t word = 0;
  for (int i = 0; i < 4; ++i) word |= (load_word(q + 16 * vector + 4 * i) >> shift & 0x03030303U) << (2 * i);
  return word;
}

uint32_t ones_word(const uint8_t* q, int shift) {
  uint32_t word = 0;
  for (int t = 0; t < 8; ++t) word |= (load_word(q + 4 * t) >> shift & 0x01010101U) << t;
  return word;
}

// Weaves one row's 32 quants into the K-block's vectors.
void weave_row(const LayoutShape& shape, const uint8_t* q, int row, uint8_t* block) {
  uint8_t* lane = block + row * 4;
  int low_vectors = 4;
  if (shape.low_bits == 4) {
    for (int s = 0; s < 4; ++s) {
      const uint32_t below = load_word(q + 4 * s) & 0x0f0f0f0fU;
      const uint32_t above = load_word(q + 16 + 4 * s) & 0x0f0f0f0fU;
      store_word(lane + 64 * s, below | above << 4);
    }
  } else {
    low_vectors = 2;
    for (int v = 0; v < 2; ++v) store_word(lane + 64 * v, pairs_word(q, v, 0));
  }
  if (shape.high_bits == 1) {
    store_word(lane + 64 * low_vectors, ones_word(q, shape.low_bits));
  } else if (shape.high_bits == 2) {
    for (int v = 0; v < 2; ++v) store_word(lane + 64 * (low_vectors + v), pairs_word(q, v, shape.low_bits));
  }
}

template <typename T>
void put(uint8_t* base, int index, T value) {
  std::memcpy(base + static_cast<size_t>(index) * sizeof(T), &value, sizeof(T));
}

// The scales of K-block `sub` of a group.
void put_scales(PackedLayout layout, const RowBlock& b, int sub, int row, uint8_t* group) {
  uint8_t* small = group + 64;
  switch (layout) {
    case PackedLayout::kQ4K:
    case PackedLayout::kQ5K:
      put(group, row, b.scale);
      put(group, kPanelRows + row, b.min);
      small[sub * kPanelRows + row] = b.sub_scales[0];
      small[128 + sub * kPanelRows + row] = b.sub_mins[0];
      break;
    case PackedLayout::kQ6K:
    case PackedLayout::kQ3K:
      put(group, row, b.scale);
      for (int p = 0; p < 2; ++p) small[(sub * 2 + p) * kPanelRows + row] = b.sub_scales[p];
      break;
    case PackedLayout::kQ2K:
      put(group, row, b.scale);
      put(group, kPanelRows + row, b.min);
      for (int p = 0; p < 2; ++p) {
        small[(sub * 2 + p) * kPanelRows + row] =
            static_cast<uint8_t>(b.sub_scales[p] | static_cast<uint32_t>(b.sub_mins[p]) << 4);
      }
      break;
    case PackedLayout::kQ4Table:
      put(group, row, b.float_scale);
      break;
    default:
      break;
  }
}

void pack_quantised(DType type, PackedLayout layout, const uint8_t* source, int64_t row_count, int64_t cols,
                    uint8_t* panel) {
  const LayoutShape shape = kernels::layout_shape(layout);
  const RowReader reader = row_reader_for(type);
  const int64_t stride = row_bytes(type, cols);
  const int64_t blocks = cols / kActivationBlock;
  if (shape.header_bytes != 0) {
    uint8_t table[16];
    value_table_for(type, table);
    for (int i = 0; i < 4; ++i) std::memcpy(panel + 16 * i, table, sizeof table);
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const int sub = static_cast<int>(block % shape.group_blocks);
    uint8_t* group = panel + shape.header_bytes + block / shape.group_blocks * shape.group_bytes;
    uint8_t* quants = group + shape.quants_offset + sub * shape.block_bytes;
    for (int row = 0; row < row_count; ++row) {
      RowBlock b;
      reader(source + row * stride, block, &b);
      put_scales(layout, b, sub, row, group);
      weave_row(shape, b.quants, row, quants);
    }
  }
}

// Rows of words, `stride` bytes apart; those of 16 rows lie together.
void interleave_words(const uint8_t* source, int64_t stride, int64_t row_count, int64_t words, uint8_t* panel) {
  constexpr int64_t kStep = 16;  // words at a time: what is written stays near
  constexpr int64_t kVectorBytes = 4 * kPanelRows;
  for (int64_t begin = 0; begin < words; begin += kStep) {
    const int64_t end = std::min(begin + kStep, words);
    int64_t row = 0;
    for (; row + 4 <= row_count && end - begin == kStep; row += 4) {
      for (int64_t word = begin; word < end; word += 4) {
        turn_words(source + row * stride + word * 4, stride, panel + word * kVectorBytes + row * 4, kVectorBytes);
      }
    }
    for (; row < row_count; ++row) {
      const uint8_t* from = source + row * stride;
      for (int64_t word = begin; word < end; ++word) {
        store_word(panel + word * kVectorBytes + row * 4, load_word(from + word * 4));
      }
    }
  }
}

void pack_f32(const uint8_t* source, int64_t row_count, int64_t cols, uint8_t* panel) {
  interleave_words(source, cols * 4, row_count, cols, panel);
}

void pack_f16(const uint8_t* source, int64_t row_count, int64_t cols, uint8_t* panel) {
  constexpr int64_t kStep = 32;
  for (int64_t begin = 0; begin < cols; begin += kStep) {
    const int64_t end = std::min(begin + kStep, cols);
    for (int64_t row = 0; row < row_count; ++row) {
      const uint8_t* from = source + row * cols * 2;
      for (int64_t k = begin; k < end; ++k) std::memcpy(panel + (k * kPanelRows + row) * 2, from + k * 2, 2);
    }
  }
}

// Pairs of columns are words.
void pack_bf16(const uint8_t* source, int64_t row_count, int64_t cols, uint8_t* panel) {
  interleave_words(source, cols * 2, row_count, cols / 2, panel);
  if (cols % 2 == 0) return;
  for (int64_t row = 0; row < row_count; ++row) {
    std::memcpy(panel + (cols - 1) * 2 * kPanelRows + row * 4, source + (row * cols + cols - 1) * 2, 2);
  }
}

// Whether packing writes every byte of the panel.
bool fills_panel(PackedLayout layout, int64_t row_count, int64_t cols) {
  const bool is_f32 = layout == PackedLayout::kF32;
  if (!is_f32 && layout != PackedLayout::kF16 && layout != PackedLayout::kBF16) return false;
  return row_count == kPanelRows && packed_panel_bytes(layout, cols) == cols * kPanelRows * (is_f32 ? 4 : 2);
}

}  // namespace

PackedLayout packed_layout_for(DType type) {
  switch (type) {
    case DType::kF32:
      return PackedLayout::kF32;
    case DType::kF16:
      return PackedLayout::kF16;
    case DType::kBF16:
      return PackedLayout::kBF16;
    case DType::kQ4_0:
      return PackedLayout::kQ4;
    case DType::kQ4_1:
      return PackedLayout::kQ4Min;
    case DType::kQ5_0:
      return PackedLayout::kQ5;
    case DType::kQ5_1:
      return PackedLayout::kQ5Min;
    case DType::kQ8_0:
      return PackedLayout::kQ8;
    case DType::kQ2_K:
      return PackedLayout::kQ2K;
    case DType::kQ3_K:
      return PackedLayout::kQ3K;
    case DType::kQ4_K:
      return PackedLayout::kQ4K;
    case DType::kQ5_K:
      return PackedLayout::kQ5K;
    case DType::kQ6_K:
      return PackedLayout::kQ6K;
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
    case DType::kMXFP4:
      return PackedLayout::kQ4Table;
  }
  return PackedLayout::kNone;
}

const char* packed_layout_name(PackedLayout layout) {
  static constexpr const char* kNames[] = {"none",   "f32",  "f16",  "bf16", "q8",   "q4",   "q4_min",  "q5",
                                           "q5_min", "q4_k", "q5_k", "q6_k", "q3_k", "q2_k", "q4_table"};
  const auto index = static_cast<uint32_t>(layout);
  return index < static_cast<uint32_t>(PackedLayout::kCount) ? kNames[index] : "unknown";
}

int64_t packed_panel_bytes(PackedLayout layout, int64_t cols) { return kernels::layout_panel_bytes(layout, cols); }

Status check_packable(DType type, int64_t rows, int64_t cols) {
  const PackedLayout layout = packed_layout_for(type);
  const auto number = static_cast<uint32_t>(type);
  const auto traits = dtype_traits(number);
  if (layout == PackedLayout::kNone || !traits) {
    const char* name = gguf_type_name(number);
    const std::string text = name != nullptr ? name : "type " + std::to_string(number);
    return {StatusCode::kUnsupported, "no packed layout for weights of " + text};
  }
  if (rows <= 0 || cols <= 0) {
    return {StatusCode::kInvalidArgument,
            "a matrix of " + std::to_string(rows) + " x " + std::to_string(cols) + " cannot be packed"};
  }
  if (cols % traits->block_elements != 0) {
    return {StatusCode::kInvalidArgument, std::to_string(cols) + " columns are no multiple of the " +
                                              std::to_string(traits->block_elements) + " of a " + traits->name +
                                              " block"};
  }
  // 16 bytes bound every layout's cost of a weight, padding included; so no size below can overflow.
  constexpr int64_t kElementsMax = INT64_MAX / 64;
  if (cols > kElementsMax / 1024 || rows > kElementsMax / (cols + 1024)) {
    return {StatusCode::kInvalidArgument,
            "a matrix of " + std::to_string(rows) + " x " + std::to_string(cols) + " is too large"};
  }
  return {};
}

void pack_panel(DType type, const void* source, int64_t row_count, int64_t cols, void* destination) {
  const PackedLayout layout = packed_layout_for(type);
  const auto* from = static_cast<const uint8_t*>(source);
  auto* panel = static_cast<uint8_t*>(destination);
  if (pack_words(type, from, row_count, cols, panel)) return;
  if (!fills_panel(layout, row_count, cols)) {
    std::memset(panel, 0, static_cast<size_t>(packed_panel_bytes(layout, cols)));
  }
  switch (layout) {
    case PackedLayout::kNone:
    case PackedLayout::kCount:
      return;
    case PackedLayout::kF32:
      return pack_f32(from, row_count, cols, panel);
    case PackedLayout::kF16:
      return pack_f16(from, row_count, cols, panel);
    case PackedLayout::kBF16:
      return pack_bf16(from, row_count, cols, panel);
    default:
      return pack_quantised(type, layout, from, row_count, cols, panel);
  }
}

}  // namespace fastserve
