// Routed experts: route every row, then run each expert over the rows that chose it. A row's experts are added in the
// order of their index whatever else is in the batch.
#include "blocks/moe_block.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/device_stream.h"
#include "ops/norm.h"

namespace fastserve {
namespace {

// One expert of a stacked weight; experts are padded to whole panels.
Weight expert_of(const Weight& stacked, int32_t expert) {
  Weight weight = stacked;
  const int64_t panels = (stacked.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
  weight.matrix.data += expert * panels * stacked.matrix.panel_bytes;
  weight.matrix.rows = stacked.rows;
  return weight;
}

// Softmax over all experts, the most likely `experts_used` kept (lower index first among equals).
void choose_experts(const MoeConfig& config, float* logits, int32_t* chosen, float* weights) {
  const int32_t count = config.expert_count;
  const float largest = *std::max_element(logits, logits + count);
  float sum = 0;
  for (int32_t e = 0; e < count; ++e) sum += logits[e] = std::exp(logits[e] - largest);
  for (int32_t rank = 0; rank < config.experts_used; ++rank) {
    const auto best = static_cast<int32_t>(std::max_element(logits, logits + count) - logits);
    chosen[rank] = best;
    weights[rank] = logits[best] / sum;
    logits[best] = -1;  // below every probability
  }
  if (!config.renormalize) return;
  float kept = 0;
  for (int32_t rank = 0; rank < config.experts_used; ++rank) kept += weights[rank];
  for (int32_t rank = 0; rank < config.experts_used; ++rank) weights[rank] /= kept;
}

// Rows of the batch that chose `expert`, and with what weight.
int64_t collect_rows(const MoeConfig& config, const MoeScratch& scratch, int64_t row_count, int32_t expert) {
  int64_t found = 0;
  for (int64_t row = 0; row < row_count; ++row) {
    for (int32_t rank = 0; rank < config.experts_used; ++rank) {
      if (scratch.chosen[row * config.experts_used + rank] != expert) continue;
      scratch.rows[found] = static_cast<int32_t>(row);
      scratch.row_weights[found++] = scratch.weights[row * config.experts_used + rank];
      break;
    }
  }
  return found;
}

void run_expert(const ForwardPass& pass, const MoeConfig& config, const MoeWeights& weights, int32_t expert,
                const Rows& normed, int64_t row_count) {
  const Workspace& workspace = *pass.workspace;
  const MoeScratch& scratch = workspace.moe();
  const Rows input{scratch.gathered, normed.cols, row_count, normed.cols};
  for (int64_t i = 0; i < row_count; ++i) {
    std::memcpy(input.row(i), normed.row(scratch.rows[i]), static_cast<size_t>(normed.cols) * sizeof(float));
  }
  const Weight gate_weight = expert_of(weights.gate, expert), up_weight = expert_of(weights.up, expert);
  const Weight down_weight = expert_of(weights.down, expert);
  const Rows both = workspace.gate_up(row_count);
  const Rows gate{both.data, both.stride, row_count, config.intermediate};
  const Rows up{both.data + config.intermediate, both.stride, row_count, config.intermediate};
  ops::matmul(*pass.device, input, workspace.input(),
              {{&gate_weight, gate.data, gate.stride}, {&up_weight, up.data, up.stride}});
  const Rows output = workspace.residual(row_count);
  ops::matmul_gated(*pass.device, gate, &up, config.activation, workspace.input(),
                    {{&down_weight, output.data, output.stride}});
  for (int64_t i = 0; i < row_count; ++i) {
    float* hidden = pass.hidden().row(scratch.rows[i]);
    const float* addend = output.row(i);
    for (int64_t col = 0; col < normed.cols; ++col) hidden[col] += scratch.row_weights[i] * addend[col];
  }
}

// A device routes and runs the experts itself.
void run_device_experts(const ForwardPass& pass, const MoeConfig& config, const MoeWeights& weights,
                        const Rows& normed) {
  DeviceStream& stream = *pass.device->stream;
  const MoeScratch& scratch = pass.workspace->moe();
  const kernels::DeviceRouteArgs route{scratch.logits,      config.expert_count, normed.count,
                                       config.expert_count, config.experts_used, config.renormalize ? 1 : 0,
                                       scratch.chosen,      scratch.weights};
  stream.launch(stream.kernels().route, "route", route);
  kernels::DeviceExpertsArgs args{};
  args.normed = normed.data;
  args.normed_stride = normed.stride;
  args.rows = normed.count;
  args.expert_count = config.expert_count;
  args.experts_used = config.experts_used;
  args.chosen = scratch.chosen;
  args.chosen_weight = scratch.weights;
  args.gate = &weights.gate.matrix;
  args.up = &weights.up.matrix;
  args.down = &weights.down.matrix;
  args.activation = config.activation;
  args.hidden = pass.hidden().data;
  args.hidden_stride = pass.hidden().stride;
  args.flags = pass.device->exact ? kernels::kDeviceExact : 0;
  const auto scratch_bytes = stream.kernels().experts_scratch_bytes;
  if (scratch_bytes != nullptr) args.scratch = stream.scratch(scratch_bytes(&args));
  stream.launch(stream.kernels().experts, "experts", args);
}

}  // namespace

void moe_block(const ForwardPass& pass, const MoeConfig& config, const MoeWeights& weights, const ops::NormSpec& norm) {
  const Workspace& workspace = *pass.workspace;
  const MoeScratch& scratch = workspace.moe();
  const int64_t rows = pass.batch.row_count;
  const Rows hidden = pass.hidden();
  const Rows normed{scratch.normed, hidden.cols, rows, hidden.cols};
  ops::rms_norm(*pass.device, hidden, *norm.weight, norm.eps, norm.weight_offset, normed);
  ops::matmul(*pass.device, normed, workspace.input(), {{&weights.router, scratch.logits, config.expert_count}});
  if (pass.device->stream != nullptr) {
    run_device_experts(pass, config, weights, normed);
    return;
  }
  for (int64_t row = 0; row < rows; ++row) {
    choose_experts(config, scratch.logits + row * config.expert_count, scratch.chosen + row * config.experts_used,
                   scratch.weights + row * config.experts_used);
  }
  for (int32_t expert = 0; expert < config.expert_count; ++expert) {
    const int64_t count = collect_rows(config, scratch, rows, expert);
    if (count > 0) run_expert(pass, config, weights, expert, normed, count);
  }
}

}  // namespace fastserve
