// Feed-forward blocks; gate and up lie side by side in one workspace row.
#include "blocks/mlp_block.h"

namespace fastserve {

using kernels::Epilogue;

void mlp_block(const ForwardPass& pass, const MlpConfig& config, const MlpWeights& weights, const ops::NormSpec& norm,
               bool add_to_hidden) {
  const Device& device = *pass.device;
  const Workspace& workspace = *pass.workspace;
  const int64_t rows = pass.batch.row_count;
  const Rows hidden = pass.hidden();
  const bool is_gated = weights.gate.present() || weights.gate_up.present();
  const Rows both = workspace.gate_up(rows);
  const Rows gate{both.data, both.stride, rows, config.intermediate};
  const Rows up{both.data + (is_gated ? config.intermediate : 0), both.stride, rows, config.intermediate};

  const Rows target = add_to_hidden ? hidden : workspace.residual(rows);
  const ops::MatmulOutput down{&weights.down, target.data, target.stride, &weights.down_bias,
                               add_to_hidden ? Epilogue::kAdd : Epilogue::kStore};

  if (device.stream != nullptr && weights.gate.present()) {
    ops::matmul_normed_gating(device, hidden, norm, {&weights.gate, gate.data, gate.stride},
                              {&weights.up, up.data, up.stride, &weights.up_bias}, config.activation);
    ops::matmul(device, gate, workspace.input(), {down});
    return;
  }
  if (weights.gate_up.present()) {
    ops::matmul_normed(device, hidden, norm, workspace.input(), {{&weights.gate_up, both.data, both.stride}});
  } else if (is_gated) {
    ops::matmul_normed(device, hidden, norm, workspace.input(),
                       {{&weights.gate, gate.data, gate.stride}, {&weights.up, up.data, up.stride, &weights.up_bias}});
  } else {
    ops::matmul_normed(device, hidden, norm, workspace.input(), {{&weights.up, up.data, up.stride, &weights.up_bias}});
  }
  ops::matmul_gated(device, gate, is_gated ? &up : nullptr, config.activation, workspace.input(), {down});
}

}  // namespace fastserve
