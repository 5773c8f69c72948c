// Self-attention over the paged cache; q, k and v lie side by side in one workspace row.
#include "blocks/attention_block.h"

namespace fastserve {
namespace {

using kernels::Epilogue;

void project_qkv(const ForwardPass& pass, const AttentionConfig& config, const AttentionWeights& weights,
                 const ops::NormSpec& norm, const Rows& hidden, const Rows& qkv) {
  const ops::InputScratch& scratch = pass.workspace->input();
  if (weights.qkv.present()) {
    ops::matmul_normed(*pass.device, hidden, norm, scratch,
                       {{&weights.qkv, qkv.data, qkv.stride, &weights.qkv_bias, Epilogue::kStore}});
    return;
  }
  float* k = qkv.data + config.q_size();
  float* v = k + config.k_size();
  ops::matmul_normed(*pass.device, hidden, norm, scratch,
                     {{&weights.q, qkv.data, qkv.stride, &weights.q_bias, Epilogue::kStore},
                      {&weights.k, k, qkv.stride, &weights.k_bias, Epilogue::kStore},
                      {&weights.v, v, qkv.stride, &weights.v_bias, Epilogue::kStore}});
}

}  // namespace

void attention_block(const ForwardPass& pass, int32_t layer, const AttentionConfig& config,
                     const AttentionWeights& weights, const ops::NormSpec& norm, bool add_to_hidden) {
  const Device& device = *pass.device;
  const Workspace& workspace = *pass.workspace;
  const int64_t rows = pass.batch.row_count;
  const Rows hidden = pass.hidden();
  const Rows qkv = workspace.qkv(rows);
  const Rows q{qkv.data, qkv.stride, rows, config.q_size()};
  const Rows k{q.data + config.q_size(), qkv.stride, rows, config.k_size()};
  const Rows v{k.data + config.k_size(), qkv.stride, rows, config.v_size()};

  project_qkv(pass, config, weights, norm, hidden, qkv);
  const kernels::KvLayer& kv_layer = pass.kv.layers[layer];
  const ops::KvViews views = pass.layer_views(layer);
  ops::RopeAppendSpec between{config.head_count, config.rope_kind, {},
                              &weights.q_norm,   &weights.k_norm,  config.qk_norm_eps};
  if (config.rotary) {
    between.angles = {pass.cosines(config.rope_set), pass.sines(config.rope_set), config.rope_pairs};
  }
  ops::rope_append(device, between, kv_layer, views, q, k, v);

  const int64_t out_size = int64_t{config.head_count} * config.value_dim;
  const Rows attended{workspace.attention_out(rows).data, out_size, rows, out_size};
  const ops::AttentionSpec spec{config.head_count, config.scale, config.softcap, config.window, false, nullptr};
  ops::attention(device, kv_layer, views, spec, q, attended);

  const Rows target = add_to_hidden ? hidden : workspace.residual(rows);
  ops::matmul(device, attended, workspace.input(),
              {{&weights.out, target.data, target.stride, &weights.out_bias,
                add_to_hidden ? Epilogue::kAdd : Epilogue::kStore}});
}

}  // namespace fastserve
