// One small reader for each quantised file type. Byte layouts as in dequantize.cpp, which is their definition.
#include "tensor/row_blocks.h"

#include <bit>
#include <cstring>

namespace fastserve {
namespace {

uint16_t load_u16(const uint8_t* source) {
  return static_cast<uint16_t>(source[0] | static_cast<uint32_t>(source[1]) << 8);
}

// Sixteen bytes whose low nibbles are columns 0..15 and high nibbles columns 16..31.
void split_nibbles(const uint8_t* bytes, uint8_t* quants) {
  for (int i = 0; i < 16; ++i) {
    quants[i] = bytes[i] & 15;
    quants[16 + i] = bytes[i] >> 4;
  }
}

// Six-bit scale and minimum of sub-block `sub` from the twelve bytes of Q4_K and Q5_K.
void read_sub_scale(const uint8_t* packed, int sub, RowBlock* out) {
  if (sub < 4) {
    out->sub_scales[0] = packed[sub] & 63;
    out->sub_mins[0] = packed[sub + 4] & 63;
  } else {
    out->sub_scales[0] = static_cast<uint8_t>((packed[sub + 4] & 15) | packed[sub - 4] >> 6 << 4);
    out->sub_mins[0] = static_cast<uint8_t>(packed[sub + 4] >> 4 | packed[sub] >> 6 << 4);
  }
}

void read_q4_k(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block / 8 * 144;
  const int sub = static_cast<int>(block % 8);
  out->scale = load_u16(from);
  out->min = load_u16(from + 2);
  read_sub_scale(from + 4, sub, out);
  const uint8_t* nibbles = from + 16 + sub / 2 * 32;
  for (int i = 0; i < 32; ++i) out->quants[i] = nibbles[i] >> (sub % 2 * 4) & 15;
}

void read_q5_k(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block / 8 * 176;
  const int sub = static_cast<int>(block % 8);
  out->scale = load_u16(from);
  out->min = load_u16(from + 2);
  read_sub_scale(from + 4, sub, out);
  const uint8_t* nibbles = from + 48 + sub / 2 * 32;
  for (int i = 0; i < 32; ++i) {
    const uint32_t high = static_cast<uint32_t>(from[16 + i]) >> sub & 1;
    out->quants[i] = static_cast<uint8_t>((nibbles[i] >> (sub % 2 * 4) & 15) | high << 4);
  }
}

// Bit pairs of Q2_K, Q3_K and (as high bits) Q6_K: 32 bytes hold 128 columns, 32 for each pair of bits.
void read_pairs(const uint8_t* pairs, int sub, uint8_t* out) {
  const uint8_t* from = pairs + sub / 4 * 32;
  for (int i = 0; i < 32; ++i) out[i] = from[i] >> (sub % 4 * 2) & 3;
}

void read_q6_k(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block / 8 * 210;
  const int sub = static_cast<int>(block % 8);
  out->scale = load_u16(from + 208);
  for (int p = 0; p < 2; ++p) out->sub_scales[p] = from[192 + sub * 2 + p];
  const uint8_t* nibbles = from + sub / 4 * 64 + sub % 2 * 32;
  uint8_t high[32];
  read_pairs(from + 128, sub, high);
  for (int i = 0; i < 32; ++i) {
    out->quants[i] = static_cast<uint8_t>((nibbles[i] >> (sub % 4 / 2 * 4) & 15) | high[i] << 4);
  }
}

void read_q2_k(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block / 8 * 84;
  const int sub = static_cast<int>(block % 8);
  out->scale = load_u16(from + 80);
  out->min = load_u16(from + 82);
  for (int p = 0; p < 2; ++p) {
    out->sub_scales[p] = from[sub * 2 + p] & 15;
    out->sub_mins[p] = from[sub * 2 + p] >> 4;
  }
  read_pairs(from + 16, sub, out->quants);
}

// Sub-scale `index` of Q3_K, minus 32: six bits, four in the first eight bytes and two in the last four.
uint8_t q3_k_sub_scale(const uint8_t* packed, int index) {
  const int low = index < 8 ? packed[index] & 15 : packed[index - 8] >> 4;
  const int high = packed[8 + index % 4] >> (index / 4 * 2) & 3;
  return static_cast<uint8_t>((low | high << 4) - 32);
}

void read_q3_k(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block / 8 * 110;
  const int sub = static_cast<int>(block % 8);
  out->scale = load_u16(from + 108);
  for (int p = 0; p < 2; ++p) out->sub_scales[p] = q3_k_sub_scale(from + 96, sub * 2 + p);
  read_pairs(from + 32, sub, out->quants);
  for (int i = 0; i < 32; ++i) {
    out->quants[i] = static_cast<uint8_t>(out->quants[i] | (static_cast<uint32_t>(from[i]) >> sub & 1) << 2);
  }
}

void read_iq4_nl(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block * 18;
  out->float_scale = half_to_float(load_u16(from));
  split_nibbles(from + 2, out->quants);
}

void read_iq4_xs(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block / 8 * 136;
  const int sub = static_cast<int>(block % 8);
  const int low = from[4 + sub / 2] >> (sub % 2 * 4) & 15;
  const int high = load_u16(from + 2) >> (2 * sub) & 3;
  out->float_scale = half_to_float(load_u16(from)) * static_cast<float>((low | high << 4) - 32);
  split_nibbles(from + 8 + sub * 16, out->quants);
}

void read_mxfp4(const uint8_t* row, int64_t block, RowBlock* out) {
  const uint8_t* from = row + block * 17;
  const uint32_t exponent = from[0];  // E8M0, halved because the table is doubled
  out->float_scale = std::bit_cast<float>(exponent < 2 ? 0x00200000U << exponent : (exponent - 1) << 23);
  split_nibbles(from + 1, out->quants);
}

}  // namespace

RowReader row_reader_for(DType type) {
  switch (type) {
    case DType::kQ2_K:
      return read_q2_k;
    case DType::kQ3_K:
      return read_q3_k;
    case DType::kQ4_K:
      return read_q4_k;
    case DType::kQ5_K:
      return read_q5_k;
    case DType::kQ6_K:
      return read_q6_k;
    case DType::kIQ4_NL:
      return read_iq4_nl;
    case DType::kIQ4_XS:
      return read_iq4_xs;
    case DType::kMXFP4:
      return read_mxfp4;
    default:
      return nullptr;
  }
}

void value_table_for(DType type, uint8_t* table) {
  static constexpr int8_t kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  static constexpr int8_t kMxfp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  const int8_t* values = type == DType::kMXFP4 ? kMxfp4 : kIq4;
  for (int i = 0; i < 16; ++i) table[i] = static_cast<uint8_t>(values[i] + 128);
}

}  // namespace fastserve
