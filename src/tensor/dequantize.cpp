// dequantize_row: the reference definition of every weight type that we read, one block function each. The order of
// the float operations is part of the definition: results equal the `gguf` Python package bit for bit.
#include <bit>
#include <cstring>

#include "tensor/dtype.h"

namespace fastserve {
namespace {

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};  // doubled

float load_half(const uint8_t* source) {
  return half_to_float(static_cast<uint16_t>(source[0] | static_cast<uint32_t>(source[1]) << 8));
}

// Nibbles of a block of 32: byte i holds element i below and element 16 + i above.
int nibble(const uint8_t* bytes, int element) { return element < 16 ? bytes[element] & 15 : bytes[element - 16] >> 4; }

void dequantize_q4_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(nibble(block + 2, i) - 8);
}

void dequantize_q4_1(const uint8_t* block, float* out) {
  const float scale = load_half(block), minimum = load_half(block + 2);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(nibble(block + 4, i)) + minimum;
}

int fifth_bit(const uint8_t* bits, int element) { return (bits[element / 8] >> (element % 8) & 1) << 4; }

void dequantize_q5_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>((nibble(block + 6, i) | fifth_bit(block + 2, i)) - 16);
  }
}

void dequantize_q5_1(const uint8_t* block, float* out) {
  const float scale = load_half(block), minimum = load_half(block + 2);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>(nibble(block + 8, i) | fifth_bit(block + 4, i)) + minimum;
  }
}

void dequantize_q8_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
}

// Two-bit values of Q2_K and Q3_K: each run of 32 bytes holds 128 elements, 32 for every bit pair.
int bit_pair(const uint8_t* bytes, int element) {
  return bytes[element / 128 * 32 + element % 32] >> (element % 128 / 32 * 2) & 3;
}

void dequantize_q2_k(const uint8_t* block, float* out) {
  const uint8_t* scales = block;
  const uint8_t* quants = block + 16;
  const float scale = load_half(block + 80), minimum = load_half(block + 82);
  for (int sub = 0; sub < 16; ++sub) {
    const float sub_scale = scale * static_cast<float>(scales[sub] & 15);
    const float sub_minimum = minimum * static_cast<float>(scales[sub] >> 4);
    for (int i = sub * 16; i < sub * 16 + 16; ++i) {
      out[i] = sub_scale * static_cast<float>(bit_pair(quants, i)) - sub_minimum;
    }
  }
}

void dequantize_q3_k(const uint8_t* block, float* out) {
  const uint8_t* high_bits = block;
  const uint8_t* quants = block + 32;
  const uint8_t* scales = block + 96;  // 16 values of six bits: eight bytes of nibbles, four of bit pairs
  const float scale = load_half(block + 108);
  for (int sub = 0; sub < 16; ++sub) {
    const int low = sub < 8 ? scales[sub] & 15 : scales[sub - 8] >> 4;
    const int high = scales[8 + sub % 4] >> (sub / 4 * 2) & 3;
    const float sub_scale = scale * static_cast<float>((low | high << 4) - 32);
    for (int i = sub * 16; i < sub * 16 + 16; ++i) {
      const bool plain = (high_bits[i % 32] >> (i / 32) & 1) != 0;  // a set bit means: nothing to subtract
      out[i] = sub_scale * static_cast<float>(bit_pair(quants, i) - (plain ? 0 : 4));
    }
  }
}

// Six-bit scales and minimums of the eight sub-blocks of Q4_K and Q5_K, packed in twelve bytes.
struct SubScale {
  int scale, minimum;
};
SubScale sub_scale_of(const uint8_t* packed, int sub) {
  if (sub < 4) return {packed[sub] & 63, packed[sub + 4] & 63};
  return {(packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4, packed[sub + 4] >> 4 | (packed[sub] >> 6) << 4};
}

void dequantize_q4_k(const uint8_t* block, float* out) {
  const float scale = load_half(block), minimum = load_half(block + 2);
  const uint8_t* quants = block + 16;
  for (int sub = 0; sub < 8; ++sub) {
    const SubScale packed = sub_scale_of(block + 4, sub);
    const float sub_scale = scale * static_cast<float>(packed.scale);
    const float sub_minimum = minimum * static_cast<float>(packed.minimum);
    for (int i = 0; i < 32; ++i) {
      const int quant = quants[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15;
      out[sub * 32 + i] = sub_scale * static_cast<float>(quant) - sub_minimum;
    }
  }
}

void dequantize_q5_k(const uint8_t* block, float* out) {
  const float scale = load_half(block), minimum = load_half(block + 2);
  const uint8_t* high_bits = block + 16;
  const uint8_t* quants = block + 48;
  for (int sub = 0; sub < 8; ++sub) {
    const SubScale packed = sub_scale_of(block + 4, sub);
    const float sub_scale = scale * static_cast<float>(packed.scale);
    const float sub_minimum = minimum * static_cast<float>(packed.minimum);
    for (int i = 0; i < 32; ++i) {
      const int quant = (quants[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15) | (high_bits[i] >> sub & 1) << 4;
      out[sub * 32 + i] = sub_scale * static_cast<float>(quant) - sub_minimum;
    }
  }
}

void dequantize_q6_k(const uint8_t* block, float* out) {
  const uint8_t* low = block;         // 2 x 64 bytes of nibbles: 64 elements below, the next 64 above
  const uint8_t* high = block + 128;  // 2 x 32 bytes of bit pairs
  const uint8_t* scales = block + 192;
  const float scale = load_half(block + 208);
  for (int sub = 0; sub < 16; ++sub) {
    const float sub_scale = scale * static_cast<float>(static_cast<int8_t>(scales[sub]));
    for (int i = sub * 16; i < sub * 16 + 16; ++i) {
      const int quant = (low[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15) | bit_pair(high, i) << 4;
      out[i] = sub_scale * static_cast<float>(quant - 32);
    }
  }
}

void dequantize_iq4_nl(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(kIq4Values[nibble(block + 2, i)]);
}

void dequantize_iq4_xs(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const int scales_high = block[2] | block[3] << 8;
  for (int sub = 0; sub < 8; ++sub) {
    const int low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
    const float sub_scale = scale * static_cast<float>((low | (scales_high >> (2 * sub) & 3) << 4) - 32);
    for (int i = 0; i < 32; ++i) {
      out[sub * 32 + i] = sub_scale * static_cast<float>(kIq4Values[nibble(block + 8 + sub * 16, i)]);
    }
  }
}

void dequantize_mxfp4(const uint8_t* block, float* out) {
  // The shared exponent is E8M0; halved, because the value table is doubled. 0 and 1 give float subnormals.
  const uint32_t exponent = block[0];
  const float scale = std::bit_cast<float>(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(kMxfp4Values[nibble(block + 1, i)]);
}

template <void (*Block)(const uint8_t*, float*), int kElements, int kBytes>
void for_each_block(const uint8_t* source, float* destination, int64_t elements) {
  for (int64_t i = 0; i < elements / kElements; ++i) Block(source + i * kBytes, destination + i * kElements);
}

}  // namespace

void dequantize_row(DType type, const void* source, float* destination, int64_t elements) {
  const auto* bytes = static_cast<const uint8_t*>(source);
  switch (type) {
    case DType::kF32:
      std::memcpy(destination, bytes, static_cast<size_t>(elements) * sizeof(float));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < elements; ++i) destination[i] = load_half(bytes + 2 * i);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < elements; ++i) {
        destination[i] = bfloat16_to_float(static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8));
      }
      return;
    case DType::kQ4_0:
      return for_each_block<dequantize_q4_0, 32, 18>(bytes, destination, elements);
    case DType::kQ4_1:
      return for_each_block<dequantize_q4_1, 32, 20>(bytes, destination, elements);
    case DType::kQ5_0:
      return for_each_block<dequantize_q5_0, 32, 22>(bytes, destination, elements);
    case DType::kQ5_1:
      return for_each_block<dequantize_q5_1, 32, 24>(bytes, destination, elements);
    case DType::kQ8_0:
      return for_each_block<dequantize_q8_0, 32, 34>(bytes, destination, elements);
    case DType::kQ2_K:
      return for_each_block<dequantize_q2_k, 256, 84>(bytes, destination, elements);
    case DType::kQ3_K:
      return for_each_block<dequantize_q3_k, 256, 110>(bytes, destination, elements);
    case DType::kQ4_K:
      return for_each_block<dequantize_q4_k, 256, 144>(bytes, destination, elements);
    case DType::kQ5_K:
      return for_each_block<dequantize_q5_k, 256, 176>(bytes, destination, elements);
    case DType::kQ6_K:
      return for_each_block<dequantize_q6_k, 256, 210>(bytes, destination, elements);
    case DType::kIQ4_NL:
      return for_each_block<dequantize_iq4_nl, 32, 18>(bytes, destination, elements);
    case DType::kIQ4_XS:
      return for_each_block<dequantize_iq4_xs, 256, 136>(bytes, destination, elements);
    case DType::kMXFP4:
      return for_each_block<dequantize_mxfp4, 32, 17>(bytes, destination, elements);
  }
}

}  // namespace fastserve
