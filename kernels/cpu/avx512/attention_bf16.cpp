// Attention over the paged cache for AVX-512 with AVX512_BF16: as avx512/attention.cpp, products of kBF16 caches by
// bf16 dot products.
#include "kernels/cpu/avx512/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_attention.h"

namespace fastserve::kernels::avx512 {

void attention_bf16(const AttentionArgs* args) {
  if (args->layer->type == KvType::kBF16) {
    attend_rows<KvType::kBF16>(*args);
  } else {
    attention(args);
  }
}

}  // namespace fastserve::kernels::avx512
