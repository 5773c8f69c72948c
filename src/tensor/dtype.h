// Facts about element types of files, and dequantisation of their rows to float.
#pragma once
#include <cstdint>
#include <optional>

#include "kernels/kernel_api.h"

namespace fastserve {

using kernels::DType;

struct DTypeTraits {
  const char* name;        // "Q4_1"
  int32_t block_elements;  // along the row
  int32_t block_bytes;
};

// Traits of a type that this build reads; nullopt for every other number.
std::optional<DTypeTraits> dtype_traits(uint32_t gguf_type);
// Traits of any type number that GGUF defines, runnable or not: enough to measure a tensor that we cannot run.
std::optional<DTypeTraits> gguf_type_traits(uint32_t gguf_type);
// The name of any GGUF type number, runnable or not ("IQ2_XXS"); "type 77" style text is the caller's work: null.
const char* gguf_type_name(uint32_t gguf_type);
// Bytes of `elements` values in a row; elements must be a multiple of block_elements.
int64_t row_bytes(DType type, int64_t elements);

// Bit-exact with the reference definition of each type. `source` needs no alignment.
void dequantize_row(DType type, const void* source, float* destination, int64_t elements);

float half_to_float(uint16_t half);
uint16_t float_to_half(float value);  // round to nearest even
float bfloat16_to_float(uint16_t value);
uint16_t float_to_bfloat16(float value);  // round to nearest even, NaN kept

}  // namespace fastserve
