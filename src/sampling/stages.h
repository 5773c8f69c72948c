// The stages of a draw: one function each behind one table. A stage that its parameters switch off is not called.
#pragma once
#include "base/status.h"
#include "sampling/draw_state.h"

namespace fastserve {

struct StageEntry {
  bool (*active)(const SamplingParameters& parameters);
  Status (*apply)(DrawState& state, const StageContext& context);
  bool cuts;  // not applied with mirostat, which makes its own cut
};
const StageEntry& stage_entry(SamplerStage stage);

// stages_text.cpp: what looks at the text so far. May raise and lower single logits.
Status apply_logit_bias(DrawState& state, const StageContext& context);
Status apply_penalties(DrawState& state, const StageContext& context);
Status apply_dry(DrawState& state, const StageContext& context);
bool penalties_active(const SamplingParameters& parameters);

// stages_cuts.cpp: what drops candidates. The most likely one may go by typical and xtc alone.
Status apply_top_n_sigma(DrawState& state, const StageContext& context);
Status apply_top_k(DrawState& state, const StageContext& context);
Status apply_typical(DrawState& state, const StageContext& context);
Status apply_top_p(DrawState& state, const StageContext& context);
Status apply_min_p(DrawState& state, const StageContext& context);
Status apply_xtc(DrawState& state, const StageContext& context);

// stages_heat.cpp: what flattens or sharpens; mirostat, which cuts by a running limit of surprise.
Status apply_temperature(DrawState& state, const StageContext& context);
void apply_mirostat(DrawState& state, const StageContext& context);

}  // namespace fastserve
