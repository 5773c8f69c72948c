// Quantisation of float rows at load (load_dtype): the reference rounding of each type.
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace fastserve {

// Types that quantize_row makes: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
bool can_quantize(DType type);
// Bit-exact with the `gguf` Python package. `elements` is a multiple of the type's block; `destination` receives
// row_bytes(type, elements). Values that are not finite give unspecified weights, never undefined behaviour.
void quantize_row(DType type, const float* source, void* destination, int64_t elements);

}  // namespace fastserve
