// The contract between the engine and compute kernels: data types, packed layouts, argument structs, KernelTable.
// A leaf: raw pointers and plain structs only. Nothing here allocates, throws or keeps state.
//
// Determinism. Every matrix kernel of one table uses one reduction order for a weight layout, whatever m, the
// range or the thread: bits never depend on the batch. See PackedLayout for the order.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fastserve::kernels {

// Element types of tensors in files; numbers as in GGUF, so that readers need no mapping.
enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
  kMXFP4 = 39,
};

// How a weight matrix W[n][k] (n outputs, k inputs) lies in memory once loaded. Rows are grouped in N-blocks of 16
// (the last is padded with zero rows); an N-block ("panel") is contiguous, panel_bytes long, k running inside it.
// Panels start at multiples of 64 bytes, and no 64-byte vector of quants crosses a cache line.
//
//   kF32     k x 16 float:            [k][row]
//   kF16     k x 16 half:             [k][row]                                 (k padded to even with zero)
//   kBF16    k/2 x 16 x 2 bfloat16:   [k/2][row][k%2]                          (k padded to even with zero)
//
// Quantised layouts are groups of K-blocks of 32 (sizes: packed_layout.h): scales first, then the quants of each
// K-block, a K-block's low bits before its high bits, in 64-byte vectors whose byte lane [row][j] holds 4 columns:
//   bytes    8 vectors: vector t, lane j = q[k = 4t+j]
//   nibbles  4 vectors: vector s, lane j = q[k = 4s+j] below, q[k = 16+4s+j] above
//   pairs    2 vectors: vector v, lane j: bits 2i and 2i+1 = two bits of q[k = 4(4v+i)+j]
//   ones     1 vector:  lane j: bit t = one bit of q[k = 4t+j]
//
//   layout    from          group  scales (half unless said)                       quants         value
//   kQ8       Q8_0          2      scale[2][16]                                    bytes (+128)   scale*(q-128)
//   kQ4       Q4_0          2      scale[2][16]                                    nibbles        scale*(q-8)
//   kQ4Min    Q4_1          1      scale[16], min[16]                              nibbles        scale*q + min
//   kQ5       Q5_0          2      scale[2][16]                                    nibbles, ones  scale*(q-16)
//   kQ5Min    Q5_1          1      scale[16], min[16]                              nibbles, ones  scale*q + min
//   kQ4K      Q4_K          8      d[16], dmin[16], sc uint8[8][16], mn [8][16]    nibbles        d*sc*q - dmin*mn
//   kQ5K      Q5_K          8      as kQ4K                                         nibbles, ones  d*sc*q - dmin*mn
//   kQ6K      Q6_K          8      d[16], 32 unused, sc int8[8][2][16]             nibbles, pairs d*sc*(q-32)
//   kQ3K      Q3_K          8      as kQ6K                                         pairs, ones    d*sc*(q-4)
//   kQ2K      Q2_K          8      d[16], dmin[16], sc|mn<<4 uint8[8][2][16]       pairs          d*sc*q - dmin*mn
//   kQ4Table  IQ4_NL/XS,    1      scale float[16]; the panel opens with 64        nibbles        scale*(table[q]-128)
//             MXFP4                bytes: the 16 bytes of `table`, four times
//
// Canonical arithmetic of the int8 path (matmul_q8), equal in every table bit for bit: activations are int8 in K-blocks
// of 32 with a float scale and their integer sum. For each row, K-blocks in order:
//   isum = exact int32 sum((q - offset)*a)
//   acc  = fma(float(isum), w_scale*a_scale, acc)
//   acc  = fma(w_min, a_scale*float(a_sum), acc)                                   (layouts with a min)
// Layouts whose sub-scales serve 16 columns (kQ6K, kQ3K, kQ2K) do this for either half of a K-block in turn, with the
// half's own isum and a_sum; w_scale = d*sc (exact), w_min = -(dmin*mn) (exact).
//
// Float path (matmul_f32): weights become float exactly as dequantize_row gives them. The reference table sums K-blocks
// of 32 in float, in k order, and the block sums in double: the oracle. SIMD tables compute acc = fma(w[k], a[k], acc)
// for k in order, whatever m or the range; tables with bf16 dot products round activations to bf16 for kBF16 weights
// and add two products a step. So float paths differ between tables in the last bits, never within one.
//
// Epilogue: v = acc; v += bias[row]; then out = v or out = out + v.
enum class PackedLayout : uint32_t {
  kNone = 0,
  kF32 = 1,
  kF16 = 2,
  kBF16 = 3,
  kQ8 = 4,
  kQ4 = 5,
  kQ4Min = 6,
  kQ5 = 7,
  kQ5Min = 8,
  kQ4K = 9,
  kQ5K = 10,
  kQ6K = 11,
  kQ3K = 12,
  kQ2K = 13,
  kQ4Table = 14,
  kCount = 15,
};
constexpr int kPanelRows = 16;
constexpr int kActivationBlock = 32;

struct PackedMatrix {
  const uint8_t* data;
  PackedLayout layout;
  uint32_t reserved;
  int64_t rows;         // n, real
  int64_t cols;         // k
  int64_t panel_bytes;  // distance between N-blocks
};

// m rows of activations quantised to int8; a row is cols/32 blocks (cols % 32 == 0 for quantised layouts).
// For a block with amax = max|x|: scale = amax/127, values = round_to_nearest_even(x * (127/amax)), in [-127, 127].
// amax < kQuantizeTiny gives zeros with scale 0. Infinity or NaN in a block gives zeros with a NaN scale, so that it
// shows in every output it reaches.
constexpr float kQuantizeTiny = 1e-30f;
struct QuantizedRows {
  int8_t* values;  // [m][cols]
  float* scales;   // [m][cols/32]
  int32_t* sums;   // [m][cols/32], sum of the block's int8 values
  int64_t cols;
  // For kernels that take up to sixteen rows at a time: [ceil(m/16)][cols/32][16], scales and float(sum) * scale. Both
  // or neither; without them such kernels leave the work to others of the same bits. Written by the quantising kernels
  // of tables that have a use for them.
  float* tile_scales = nullptr;
  float* tile_sums = nullptr;
};
constexpr int64_t kTileRowsMin = 9;  // with fewer rows no kernel uses them
constexpr int64_t quantized_tile_index(int64_t row, int64_t block, int64_t row_blocks) {
  return (row / 16 * row_blocks + block) * 16 + row % 16;
}

enum class Epilogue : uint32_t {
  kStore = 0,  // out = acc (+ bias)
  kAdd = 1,    // out += acc (+ bias)            residual
};

// out[i][row] for i in [0,m), row in the panels [panel_begin, panel_end). Rows past `rows` are never written.
struct MatmulArgs {
  const PackedMatrix* weights;
  const QuantizedRows* input_q8;  // for matmul_q8
  const float* input;             // for matmul_f32: [m][input_stride]
  int64_t input_stride;           // in floats
  const uint16_t* input_bf16;     // for matmul_bf16: [m][input_bf16_stride], as round_bf16 writes it
  int64_t input_bf16_stride;      // in elements, a multiple of 32
  int64_t m;
  float* output;          // [m][output_stride]
  int64_t output_stride;  // in floats
  const float* bias;      // [rows] or null
  Epilogue epilogue;
  int64_t panel_begin, panel_end;
};
using MatmulFn = void (*)(const MatmulArgs*);

// Rows [row_begin, row_end) of input rounded to the nearest bf16 (ties to even); zeros from `cols` to output_stride.
struct RoundBf16Args {
  const float* input;
  int64_t input_stride;
  uint16_t* output;
  int64_t output_stride;  // a multiple of 32, at least cols
  int64_t cols;
  int64_t row_begin, row_end;
};

// Rows of a packed matrix back to float: output[i][0..cols) = W[row_ids[i]] * scale.
struct GetRowsArgs {
  const PackedMatrix* weights;
  const int32_t* row_ids;
  int64_t count;
  float* output;
  int64_t output_stride;
  float scale;
};

struct QuantizeArgs {  // rows [row_begin, row_end) of input -> output
  const float* input;
  int64_t input_stride;
  const QuantizedRows* output;
  int64_t row_begin, row_end;
};

// out = x / sqrt(mean(x^2) + eps) * (weight + weight_offset); out may be x. A row may hold several vectors of `cols`
// back to back that are normalised one by one with the same weight (per-head norms of q and k): `parts` of them.
struct RmsNormArgs {
  const float* input;
  int64_t input_stride;
  const float* weight;  // [cols] or null (ones)
  float weight_offset;
  float eps;
  float* output;
  int64_t output_stride;
  int64_t cols;
  int64_t parts;  // vectors in a row; 0 means 1
  int64_t row_begin, row_end;
};

// rms_norm (parts <= 1, cols % 32 == 0) straight into quantised rows: bit-identical to rms_norm, then quantize_q8.
// norm.output may be null (only the quantised rows are written) or a buffer that also receives the floats.
struct RmsNormQuantizeArgs {
  RmsNormArgs norm;
  const QuantizedRows* quantized;
};

// out = (x - mean) / sqrt(var + eps) * weight + bias; out may be x.
struct LayerNormArgs {
  const float* input;
  int64_t input_stride;
  const float* weight;  // [cols] or null (ones)
  const float* bias;    // [cols] or null
  float eps;
  float* output;
  int64_t output_stride;
  int64_t cols;
  int64_t row_begin, row_end;
};

enum class RopeKind : uint32_t { kAdjacent = 0 /* pairs (2i, 2i+1): GGUF llama */, kHalves = 1 /* (i, i+d/2) */ };

// cos and sin of a step's rotations, once for all heads and layers that share inv_freq:
// cosines[row][i] = magnitude * cos(float(position) * inv_freq[i]), the product rounded to float as transformers does.
struct RopeAnglesArgs {
  const int32_t* positions;  // [rows], >= 0
  const float* inv_freq;     // [pair_count], scaling applied
  int32_t pair_count;        // rope_dims / 2
  float magnitude;           // multiplies cos and sin (yarn); 1 otherwise
  float* cosines;            // [rows][pair_count]
  float* sines;              // [rows][pair_count]
  int64_t row_begin, row_end;
};

// Rotates heads in place: data[row][head][head_dim], first rope_dims of each head, by the angles of rope_angles:
// (a, b) -> (a*cos - b*sin, b*cos + a*sin).
struct RopeArgs {
  float* data;
  int64_t row_stride;  // in floats
  int32_t head_count, head_dim;
  int32_t rope_dims;
  RopeKind kind;
  const float* cosines;  // [rows][rope_dims/2], row 0 = data's row 0
  const float* sines;
  int64_t row_begin, row_end;
};

enum class Activation : uint32_t { kSilu = 0, kGeluTanh = 1, kGeluErf = 2, kRelu = 3 };

// out[i][c] = act(gate[i][c]) * up[i][c]; up may be null (out = act(gate)); out may be gate.
struct GatedArgs {
  const float* gate;
  int64_t gate_stride;
  const float* up;
  int64_t up_stride;
  Activation activation;
  float* output;
  int64_t output_stride;
  int64_t cols;
  int64_t row_begin, row_end;
};

// gated (cols % 32 == 0) straight into quantised rows: bit-identical to gated, then quantize_q8; no float output.
struct GatedQuantizeArgs {
  GatedArgs gated;
  const QuantizedRows* quantized;
};

// ---- Paged KV --------------------------------------------------------------------------------------------------
// A block holds kKvBlockTokens tokens of every layer of its group. Inside a layer of a block, head after head:
//   K: [kv_head] { [head_dim][kKvBlockTokens] }    (transposed: one vector of keys for each dimension)
//   V: [kv_head] { [kKvBlockTokens][value_dim] }
// kBF16 keeps pairs side by side, as dot-product instructions read them; an odd dimension is padded with zero:
//   K: [kv_head] { [(head_dim+1)/2][kKvBlockTokens][2 dimensions] }
//   V: [kv_head] { [kKvBlockTokens/2][value_dim][2 tokens] }
// Where the processor multiplies bf16, attention over kBF16 also rounds q and the softmax weights to bf16; sums are
// f32. kQ8 stores int8 and, after each head's values (in K and in V), float scale[kKvBlockTokens], one for each token:
// value = scale[token] * q, scale = max|x| / 127. K and V of a layer start at multiples of 64 bytes.
// Token at position p lies in blocks[p / 16], slot p % 16. Slots not yet written may hold any bits.
constexpr int kKvBlockTokens = 16;
constexpr int kAttentionSplit = 256;  // keys are reduced in runs of 256 positions from 0, then runs are combined in
                                      // order: the same bits however a prompt was cut in chunks or batched

enum class KvType : uint32_t { kF16 = 0, kF32 = 1, kBF16 = 2, kQ8 = 3 };

static constexpr int64_t kv_element_bytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kQ8 ? 1 : 2;
}
// Bytes of one kv head of K (dim = head_dim) or V (dim = value_dim) in a block; a layer has kv_head_count of each.
static constexpr int64_t kv_head_bytes(KvType type, int64_t dim) {
  const int64_t padded = type == KvType::kBF16 ? (dim + 1) / 2 * 2 : dim;
  return padded * kKvBlockTokens * kv_element_bytes(type) + (type == KvType::kQ8 ? int64_t{kKvBlockTokens} * 4 : 0);
}

// Everything a kernel needs of one sequence in a batch.
struct KvView {
  uint8_t* const* blocks;  // [ceil(tokens/16)] base address of each block; null where a window dropped it
  int32_t row_begin;       // the sequence's rows in the batch: [row_begin, row_begin + row_count)
  int32_t row_count;
  int32_t position_begin;  // position of its first row; row r attends to keys 0 .. position_begin + r
};

struct KvLayer {  // where a layer lies inside a block
  KvType type;
  int32_t kv_head_count;
  int32_t head_dim;   // of K
  int32_t value_dim;  // of V
  int64_t k_offset_bytes, v_offset_bytes;
};

// Writes K and V rows of a batch into their blocks.
struct KvAppendArgs {
  const KvLayer* layer;
  const KvView* sequences;
  int32_t sequence_count;
  const float* k;  // [rows][k_stride]: kv_head_count x head_dim
  int64_t k_stride;
  const float* v;
  int64_t v_stride;
  int32_t row_begin, row_end;  // batch rows to write
};

// output[row][head][value_dim] = softmax(scale * q k^T (+cap, mask)) v over the paged cache; query head h reads kv head
// h / (head_count / kv_head_count). Work is cut in any rectangle of rows and query heads; the query heads of one kv
// head that are asked for together read K and V once, and so do neighbouring rows of a sequence. No cut changes a bit.
struct AttentionArgs {
  const KvLayer* layer;
  const KvView* sequences;
  int32_t sequence_count;
  const float* q;  // [rows][q_stride]: head_count x head_dim
  int64_t q_stride;
  int32_t head_count;
  float scale;
  float softcap;          // 0: none; else cap * tanh(x / cap)
  int32_t window;         // 0: all; else keys with position > p - window (and < p + window where bidirectional)
  int32_t bidirectional;  // 0: causal; 1: keys after a row count too, to the sequence's last row (encoders)
  const float* sinks;     // [head_count] or null
  float* output;          // [rows][output_stride]
  int64_t output_stride;
  int32_t head_begin, head_end;  // query heads
  int32_t row_begin, row_end;
};

struct AddArgs {  // out = a + b; out may be a
  const float* a;
  const float* b;
  float* out;
  int64_t count;
};

// output[row][block] = the largest of each kLogitBlock values of a row of logits (-inf if all are); NaN where one is
// NaN or +inf. Samplers look at these first.
constexpr int kLogitBlock = 64;
struct BlockMaxArgs {
  const float* input;  // [rows][input_stride]
  int64_t input_stride;
  int64_t rows, cols;
  int64_t block_begin, block_end;
  float* output;  // [rows][output_stride]
  int64_t output_stride;
};

// One backend's kernels; entries are never null where they do not say so (a table starts as a copy of the reference and
// overrides).
struct KernelTable {
  uint32_t version;  // kKernelTableVersion
  const char* name;  // "reference", "avx2", "avx512", "avx512_vnni", ...
  void (*quantize_q8)(const QuantizeArgs*);
  MatmulFn matmul_q8[static_cast<int>(PackedLayout::kCount)];   // null only for layouts without an int8 path
  MatmulFn matmul_f32[static_cast<int>(PackedLayout::kCount)];  // float activations, any layout
  // The table that an entry comes from, for plans: of kTileRowsMin rows and more, of fewer; and without int8
  // activations.
  const char* matmul_q8_name[static_cast<int>(PackedLayout::kCount)];
  const char* matmul_q8_few_name[static_cast<int>(PackedLayout::kCount)];
  const char* matmul_float_name[static_cast<int>(PackedLayout::kCount)];  // matmul_bf16 where there is one
  // Both or neither: kBF16 weights from activations rounded to bf16 beforehand. Sums are f32, in one order for any m.
  void (*round_bf16)(const RoundBf16Args*);
  MatmulFn matmul_bf16;
  void (*get_rows)(const GetRowsArgs*);
  void (*rms_norm)(const RmsNormArgs*);
  void (*layer_norm)(const LayerNormArgs*);
  void (*rms_norm_quantize)(const RmsNormQuantizeArgs*);
  void (*rope_angles)(const RopeAnglesArgs*);
  void (*rope)(const RopeArgs*);
  void (*gated)(const GatedArgs*);
  void (*gated_quantize)(const GatedQuantizeArgs*);
  void (*kv_append)(const KvAppendArgs*);
  void (*attention)(const AttentionArgs*);
  void (*add)(const AddArgs*);
  void (*block_max)(const BlockMaxArgs*);
};
constexpr uint32_t kKernelTableVersion = 1;

// The best table for this processor, and the scalar one. Static storage, made once, thread-safe.
const KernelTable& best_cpu_table();
const KernelTable& reference_cpu_table();
// Tables this processor can run, best first; for tests and benchmarks. Returns their number (at most 8).
int runnable_cpu_tables(const KernelTable** tables, int capacity);

// CPUID facts. Features as space-separated text in a static buffer.
struct CpuFeatures {
  bool avx2, fma, f16c, avx512, avx512_vnni, avx512_bf16, avx_vnni, amx_int8, amx_bf16;
};
const CpuFeatures& cpu_features();

}  // namespace fastserve::kernels
