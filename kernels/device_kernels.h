// What a device computes: one versioned C table beside DeviceApi, whose entries take the argument structs of
// kernel_api.h where there are such. An entry that is null has no kernel on this device; the engine names it.
//
// Every entry puts its work in a queue and returns; what fails in the work itself shows at DeviceApi::wait. Entries
// launch kernels and nothing else (no allocation, no synchronisation, no host copies), so that a queue may be captured
// in a graph. An error of the arguments is kInvalid with a sentence that names the entry.
//
// Addresses. The argument struct itself and the small descriptors that it points to (PackedMatrix, QuantizedRows,
// KvLayer) lie in host memory and are read before the return. Everything else they point to is device memory: weights,
// rows, ids, and the array `sequences` of KvView with their `blocks`, so that a captured graph serves changing batches.
// Ranges (row_begin, row_end, panel_begin, panel_end, head_begin, head_end) mean what they mean on a CPU: the whole
// where the engine has nothing to cut. Rows start at multiples of 16 bytes (strides are multiples of four floats);
// QuantizedRows::values and bf16 rows at multiples of 16 bytes too. tile_scales and tile_sums are neither read nor
// written.
//
// Arithmetic. Activations are quantised as kernel_api.h defines, to the bit. Matrix products sum integers exactly
// within a K-block as a CPU does; floats in another order, so that results differ from a CPU's in the last bits. Rows
// do not depend on one another. With kDeviceInvariant they do not depend on the number of rows either.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/device_api.h"
#include "kernels/kernel_api.h"

namespace fastserve::kernels {

constexpr uint32_t kDeviceKernelsVersion = 1;

// Flags of products and of attention.
constexpr uint32_t kDeviceInvariant = 1;  // one order of reduction, whatever the number of rows: slower prefill
constexpr uint32_t kDeviceExact = 2;      // float activations for quantised weights: the oracle, slow
constexpr uint32_t kDeviceBlas = 4;       // many rows by bf16 weights may go to a library (DeviceOpening::uses_blas)

// Room on the device that a call may use until its work is done; calls of one queue may share it. At a multiple of 256.
struct DeviceScratch {
  void* data;
  uint64_t size_bytes;
};

// ---- Matrix products ---------------------------------------------------------------------------------------------
// What becomes of the input on the way into a product.
enum class DevicePrologue : uint32_t {
  kNone = 0,
  kRmsNorm = 1,
  kLayerNorm = 2,
  kGated = 3,  // activation(input) * up
};

struct DeviceMatmulInput {
  const float* rows;  // [m][stride]
  int64_t stride;
  int64_t cols;
  int64_t m;
  DevicePrologue prologue;
  Activation activation;     // kGated
  const float* up;           // kGated: [m][up_stride], or null
  int64_t up_stride;         // in floats
  const float* norm_weight;  // norms: [cols] or null
  const float* norm_bias;    // kLayerNorm: [cols] or null
  float weight_offset;       // kRmsNorm
  float eps;
};

struct DeviceMatmulOutput {
  const PackedMatrix* weights;
  float* output;          // [m][output_stride]
  int64_t output_stride;  // in floats
  const float* bias;      // [rows] or null
  Epilogue epilogue;
  int64_t panel_begin, panel_end;  // columns of the output to compute, as in MatmulArgs
};
constexpr int kDeviceOutputsMax = 4;

// Products of one input with up to four weights of one layout or several: out_i = f(input) * W_i^T (+ bias).
struct DeviceMatmulArgs {
  DeviceMatmulInput input;
  DeviceMatmulOutput outputs[kDeviceOutputsMax];
  int32_t output_count;
  // Not 0: outputs[0] and outputs[1] are gate and up of the same rows, kStore; only activation(gate) * up is written,
  // to outputs[0].output. Biases are added before. Not together with kGated.
  int32_t gates_outputs;
  Activation output_activation;
  uint32_t flags;
  DeviceScratch scratch;  // at least matmul_scratch_bytes
};

// ---- Attention -----------------------------------------------------------------------------------------------------
// Rotates q and k, normalising each of their heads before where weights are given, and appends k and v: what lies
// between the projection and attention, in one kernel. q is written in place; k and v are not (they go to the cache).
struct DeviceRopeAppendArgs {
  float* q;  // [rows][q_stride]: head_count x layer->head_dim
  int64_t q_stride;
  int32_t head_count;
  int32_t rope_dims;  // 0: none
  RopeKind kind;
  float norm_eps;
  const float* q_norm_weight;  // [head_dim] or null
  const float* k_norm_weight;  // [head_dim] or null
  const float* cosines;        // [rows][rope_dims/2], row 0 = q's row 0
  const float* sines;
  KvAppendArgs append;
};

struct DeviceAttentionArgs {
  AttentionArgs attention;
  // Bounds that hold for every step that a captured graph serves: the last position of any row + 1, and the rows of one
  // sequence. They size the launch; what lies beyond a sequence's own end costs next to nothing.
  int32_t key_count_max;
  int32_t sequence_rows_max;
  uint32_t flags;
  DeviceScratch scratch;  // at least attention_scratch_bytes
};

// ---- Rows ----------------------------------------------------------------------------------------------------------
struct DeviceSelectRowsArgs {  // output[i] = input[row_ids[i]]; ids < 0 give zeros
  const float* input;
  int64_t input_stride;
  const int32_t* row_ids;
  int64_t count;
  int64_t cols;
  float* output;
  int64_t output_stride;
};

struct DeviceSoftcapArgs {  // values = cap * tanh(values / cap)
  float* values;
  int64_t stride;
  int64_t rows, cols;
  float cap;
};

// ---- Routed experts ------------------------------------------------------------------------------------------------
// Softmax over all experts of each row, the most likely `experts_used` kept (lower index first among equals), in order
// of their probability.
struct DeviceRouteArgs {
  const float* logits;  // [rows][stride]
  int64_t stride;
  int64_t rows;
  int32_t expert_count, experts_used;
  int32_t renormalize;
  int32_t* chosen;  // [rows][experts_used]
  float* weights;   // [rows][experts_used]
};

// hidden[row] += sum over its chosen experts, in order of their index, of weight * down(act(gate(x)) * up(x)) with
// x = normed[row].
struct DeviceExpertsArgs {
  const float* normed;  // [rows][normed_stride]
  int64_t normed_stride;
  int64_t rows;
  int32_t expert_count, experts_used;
  const int32_t* chosen;       // [rows][experts_used]
  const float* chosen_weight;  // [rows][experts_used]
  // Stacked: expert e is panels [e*p, (e+1)*p), p = ceil(rows / 16); `rows` of the matrix are one expert's.
  const PackedMatrix* gate;
  const PackedMatrix* up;
  const PackedMatrix* down;
  Activation activation;
  float* hidden;  // [rows][hidden_stride]
  int64_t hidden_stride;
  uint32_t flags;
  DeviceScratch scratch;  // at least experts_scratch_bytes
};

// ---- Sampling ------------------------------------------------------------------------------------------------------
// What of the CPU's sampler a device knows: the cuts and the temperature in the default order, and the draw. Requests
// that ask for more (bias, penalties, DRY, typical, xtc, mirostat, another order) draw on the CPU.
struct DeviceSampleRow {  // one for each row of logits, in device memory
  float temperature;      // 0: greedy
  float top_p;            // >= 1: all
  float min_p;            // 0: none
  int32_t top_k;          // <= 0: all
  uint64_t seed;
  uint64_t draw_index;
  uint32_t stream;
  uint32_t banned_count;  // tokens that cannot be drawn: banned[banned_begin ..)
  uint32_t banned_begin;
  uint32_t reserved;
};

enum DeviceSampleError : int32_t {  // in place of a token id
  kDeviceSampleNotFinite = -1,      // a logit is NaN or +inf
  kDeviceSampleNone = -2,           // every logit is -inf or banned
};

// The token that the CPU's sampler draws for the same logits and numbers, but where a sum of probabilities meets a
// bound to the last bits.
struct DeviceSampleArgs {
  float* logits;  // [rows][stride]; banned tokens become -inf
  int64_t stride;
  int32_t rows;
  int32_t vocabulary;
  const DeviceSampleRow* parameters;  // [rows]
  const int32_t* banned;
  int32_t* token_ids;  // [rows]: the token, or a DeviceSampleError
  float* logprobs;     // [rows] or null: natural log of softmax over the raw logits, of the token
};

template <typename Args>
using DeviceKernelFn = DeviceResult (*)(DeviceQueue* queue, const Args* args, DeviceMessage* message);

struct DeviceKernels {
  uint32_t version;  // kDeviceKernelsVersion
  uint32_t struct_size;

  // Embedding and head.
  DeviceKernelFn<GetRowsArgs> get_rows;
  DeviceKernelFn<DeviceSelectRowsArgs> select_rows;
  DeviceKernelFn<DeviceSoftcapArgs> softcap;
  DeviceKernelFn<DeviceSampleArgs> sample;

  // Products; each composes what it needs of norms, quantising and rounding.
  DeviceKernelFn<DeviceMatmulArgs> matmul;
  uint64_t (*matmul_scratch_bytes)(const DeviceMatmulArgs* args);  // reads sizes and layouts, no pointer to rows
  DeviceKernelFn<DeviceExpertsArgs> experts;
  uint64_t (*experts_scratch_bytes)(const DeviceExpertsArgs* args);
  DeviceKernelFn<DeviceRouteArgs> route;

  // Attention.
  DeviceKernelFn<RopeAnglesArgs> rope_angles;
  DeviceKernelFn<DeviceRopeAppendArgs> rope_append;
  DeviceKernelFn<DeviceAttentionArgs> attention;
  uint64_t (*attention_scratch_bytes)(const DeviceAttentionArgs* args);

  // Ops one by one.
  DeviceKernelFn<RmsNormArgs> rms_norm;
  DeviceKernelFn<LayerNormArgs> layer_norm;
  DeviceKernelFn<RmsNormQuantizeArgs> rms_norm_quantize;
  DeviceKernelFn<QuantizeArgs> quantize_q8;
  DeviceKernelFn<RoundBf16Args> round_bf16;
  DeviceKernelFn<GatedArgs> gated;
  DeviceKernelFn<GatedQuantizeArgs> gated_quantize;
  DeviceKernelFn<AddArgs> add;
  DeviceKernelFn<RopeArgs> rope;
  DeviceKernelFn<KvAppendArgs> kv_append;
};

}  // namespace fastserve::kernels
