// Activations to int8, one scale for 32 values: the definition that SIMD versions equal bit for bit.
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/half.h"

namespace fastserve::kernels::reference {
namespace {

void quantize_block(const float* x, int8_t* values, float* scale, int32_t* sum) {
  // Maxima of the magnitude's bits, as integers: the order of floats, with infinity and every NaN on top.
  uint32_t top = 0;
  for (int i = 0; i < kActivationBlock; ++i) {
    const uint32_t magnitude = float_to_bits(x[i]) & 0x7fffffffU;
    top = magnitude > top ? magnitude : top;
  }
  const float amax = bits_to_float(top);
  *sum = 0;
  if (top >= 0x7f800000U || amax < kQuantizeTiny) {
    memset(values, 0, kActivationBlock);
    *scale = top >= 0x7f800000U ? bits_to_float(0x7fc00000U) : 0.0F;
    return;
  }
  *scale = amax / 127.0F;
  const float inverse = 127.0F / amax;
  int32_t total = 0;
  for (int i = 0; i < kActivationBlock; ++i) {
    // Adding 1.5 * 2^23 leaves the integer, rounded to nearest even, in the low bits of the mantissa.
    const uint32_t rounded = float_to_bits(x[i] * inverse + 12582912.0F);
    const int32_t q = static_cast<int32_t>(rounded - 0x4b400000U);
    values[i] = static_cast<int8_t>(q);
    total += q;
  }
  *sum = total;
}

}  // namespace

void quantize_q8(const QuantizeArgs* args) {
  const QuantizedRows& out = *args->output;
  const int64_t blocks = out.cols / kActivationBlock;
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    const float* x = args->input + row * args->input_stride;
    for (int64_t b = 0; b < blocks; ++b) {
      quantize_block(x + b * kActivationBlock, out.values + row * out.cols + b * kActivationBlock,
                     out.scales + row * blocks + b, out.sums + row * blocks + b);
    }
  }
}

}  // namespace fastserve::kernels::reference
