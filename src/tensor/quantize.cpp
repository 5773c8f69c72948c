// quantize_row, one block function a type.
#include "tensor/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace fastserve {
namespace {

void store_u16(uint8_t* destination, uint16_t value) {
  destination[0] = static_cast<uint8_t>(value);
  destination[1] = static_cast<uint8_t>(value >> 8);
}

// The integer at `value`, which is whole; NaN and what lies outside give the nearest bound.
int bounded(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  return value < static_cast<float>(high) ? static_cast<int>(value) : high;
}

float inverse(float scale) { return scale == 0.0f ? 0.0f : 1.0f / scale; }

// Halves away from zero, without the step through value + 0.5 that misrounds 0.49999997.
float round_half_away(float value) {
  const float magnitude = std::fabs(value), whole = std::floor(magnitude);
  return std::copysign(whole + std::floor(2.0f * (magnitude - whole)), value);
}

void quantize_q8_0(const float* source, uint8_t* block) {
  float largest = 0.0f;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(source[i]));
  const float scale = largest / 127.0f, factor = inverse(scale);
  store_u16(block, float_to_half(scale));
  for (int i = 0; i < 32; ++i) {
    block[2 + i] = static_cast<uint8_t>(bounded(round_half_away(source[i] * factor), -128, 127));
  }
}

// Codes of 32 values: their low nibbles, those of the second half above those of the first, and in front of them, where
// a code has five bits, the fifth ones.
void store_codes(const int* codes, int bits, uint8_t* destination) {
  if (bits == 5) {
    uint32_t fifth = 0;
    for (int i = 0; i < 32; ++i) fifth |= static_cast<uint32_t>(codes[i] >> 4) << i;
    store_u16(destination, static_cast<uint16_t>(fifth));
    store_u16(destination + 2, static_cast<uint16_t>(fifth >> 16));
    destination += 4;
  }
  for (int i = 0; i < 16; ++i) destination[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[16 + i] & 15) << 4);
}

// Q4_0, Q5_0: a scale, codes around the middle.
void quantize_centred(const float* source, int bits, uint8_t* block) {
  float extreme = source[0];  // of the largest magnitude, with its sign: it maps to the lowest code exactly
  for (int i = 1; i < 32; ++i) {
    if (std::fabs(source[i]) > std::fabs(extreme)) extreme = source[i];
  }
  const int middle = 1 << (bits - 1);
  const float scale = extreme / static_cast<float>(-middle), factor = inverse(scale);
  int codes[32];
  for (int i = 0; i < 32; ++i) {
    codes[i] = bounded(std::trunc(source[i] * factor + (static_cast<float>(middle) + 0.5f)), 0, 2 * middle - 1);
  }
  store_u16(block, float_to_half(scale));
  store_codes(codes, bits, block + 2);
}

// Q4_1, Q5_1: a scale and the least value, codes from there.
void quantize_from_least(const float* source, int bits, uint8_t* block) {
  const auto [least, most] = std::minmax_element(source, source + 32);
  const int code_max = (1 << bits) - 1;
  const float scale = (*most - *least) / static_cast<float>(code_max), factor = inverse(scale);
  int codes[32];
  for (int i = 0; i < 32; ++i) codes[i] = bounded(std::trunc((source[i] - *least) * factor + 0.5f), 0, code_max);
  store_u16(block, float_to_half(scale));
  store_u16(block + 2, float_to_half(*least));
  store_codes(codes, bits, block + 4);
}

void quantize_block(DType type, const float* source, uint8_t* block) {
  switch (type) {
    case DType::kQ8_0:
      return quantize_q8_0(source, block);
    case DType::kQ4_0:
      return quantize_centred(source, 4, block);
    case DType::kQ5_0:
      return quantize_centred(source, 5, block);
    case DType::kQ4_1:
      return quantize_from_least(source, 4, block);
    case DType::kQ5_1:
      return quantize_from_least(source, 5, block);
    default:
      return;
  }
}

}  // namespace

bool can_quantize(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kQ8_0 ||
         type == DType::kQ4_0 || type == DType::kQ4_1 || type == DType::kQ5_0 || type == DType::kQ5_1;
}

void quantize_row(DType type, const float* source, void* destination, int64_t elements) {
  auto* bytes = static_cast<uint8_t*>(destination);
  switch (type) {
    case DType::kF32:
      std::memcpy(bytes, source, static_cast<size_t>(elements) * sizeof(float));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < elements; ++i) store_u16(bytes + 2 * i, float_to_half(source[i]));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < elements; ++i) store_u16(bytes + 2 * i, float_to_bfloat16(source[i]));
      return;
    default:
      for (int64_t i = 0; i < elements / 32; ++i)
        quantize_block(type, source + 32 * i, bytes + row_bytes(type, 32 * i));
      return;
  }
}

}  // namespace fastserve
