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

void quantize_q4_0(const float* source, uint8_t* block) {
  float extreme = source[0];  // of the largest magnitude, with its sign: it maps to -8 exactly
  for (int i = 1; i < 32; ++i) {
    if (std::fabs(source[i]) > std::fabs(extreme)) extreme = source[i];
  }
  const float scale = extreme / -8.0f, factor = inverse(scale);
  store_u16(block, float_to_half(scale));
  for (int i = 0; i < 16; ++i) {
    const int low = bounded(std::trunc(source[i] * factor + 8.5f), 0, 15);
    const int high = bounded(std::trunc(source[16 + i] * factor + 8.5f), 0, 15);
    block[2 + i] = static_cast<uint8_t>(low | high << 4);
  }
}

}  // namespace

bool can_quantize(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kQ8_0 ||
         type == DType::kQ4_0;
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
    case DType::kQ8_0:
      for (int64_t i = 0; i < elements / 32; ++i) quantize_q8_0(source + 32 * i, bytes + 34 * i);
      return;
    case DType::kQ4_0:
      for (int64_t i = 0; i < elements / 32; ++i) quantize_q4_0(source + 32 * i, bytes + 18 * i);
      return;
    default:
      return;
  }
}

}  // namespace fastserve
