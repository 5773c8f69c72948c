// Every CPU kernel by instruction set, for dispatch.cpp. One plain function per kernel and set; the matrix kernels of a
// SIMD set are looked up by layout (null: this set has none, the table keeps what it had).
#pragma once
#include "kernels/kernel_api.h"

namespace fastserve::kernels {

namespace reference {
void quantize_q8(const QuantizeArgs* args);
void matmul_q8(const MatmulArgs* args);   // any quantised layout
void matmul_f32(const MatmulArgs* args);  // any layout
void get_rows(const GetRowsArgs* args);
void rms_norm(const RmsNormArgs* args);
void rms_norm_quantize(const RmsNormQuantizeArgs* args);
void layer_norm(const LayerNormArgs* args);
void rope_angles(const RopeAnglesArgs* args);
void rope(const RopeArgs* args);
void gated(const GatedArgs* args);
void gated_quantize(const GatedQuantizeArgs* args);
void kv_append(const KvAppendArgs* args);
void attention(const AttentionArgs* args);
void add(const AddArgs* args);
void block_max(const BlockMaxArgs* args);
}  // namespace reference

namespace avx2 {
MatmulFn matmul_q8(PackedLayout layout);
MatmulFn matmul_f32(PackedLayout layout);
void quantize_q8(const QuantizeArgs* args);
void get_rows(const GetRowsArgs* args);
void rms_norm(const RmsNormArgs* args);
void rms_norm_quantize(const RmsNormQuantizeArgs* args);
void layer_norm(const LayerNormArgs* args);
void rope(const RopeArgs* args);
void gated(const GatedArgs* args);
void gated_quantize(const GatedQuantizeArgs* args);
void kv_append(const KvAppendArgs* args);
void attention(const AttentionArgs* args);
void add(const AddArgs* args);
void block_max(const BlockMaxArgs* args);
}  // namespace avx2

namespace avx512 {
MatmulFn matmul_q8_vnni(PackedLayout layout);
MatmulFn matmul_f32(PackedLayout layout);
MatmulFn matmul_bf16(PackedLayout layout);  // bf16 weights, activations rounded to bf16; needs AVX512_BF16
void quantize_q8(const QuantizeArgs* args);
void get_rows(const GetRowsArgs* args);
void rms_norm(const RmsNormArgs* args);
void rms_norm_quantize(const RmsNormQuantizeArgs* args);
void layer_norm(const LayerNormArgs* args);
void rope(const RopeArgs* args);
void gated(const GatedArgs* args);
void gated_quantize(const GatedQuantizeArgs* args);
void kv_append(const KvAppendArgs* args);
void attention(const AttentionArgs* args);
void attention_bf16(const AttentionArgs* args);  // needs AVX512_BF16
void add(const AddArgs* args);
void block_max(const BlockMaxArgs* args);
}  // namespace avx512

namespace amx {
MatmulFn matmul_q8(PackedLayout layout);
void round_bf16(const RoundBf16Args* args);
void matmul_bf16(const MatmulArgs* args);
}  // namespace amx

// Asks the operating system for AMX tiles, for the whole process; false where it refuses.
bool request_tiles();

}  // namespace fastserve::kernels
