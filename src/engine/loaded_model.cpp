// What of a model can leave memory and come back.
#include "engine/loaded_model.h"

namespace fastserve {

uint64_t LoadedModel::resident_bytes() noexcept {
  const uint64_t step_bytes = device_step != nullptr ? device_step->size_bytes() : 0;
  return weights.size_bytes() + host_weights.size_bytes() + derived.size_bytes() + workspace.buffer().size_bytes() +
         step_bytes;
}

void LoadedModel::move_resident(LoadedModel& to) noexcept {
  to.weights = std::move(weights);
  to.host_weights = std::move(host_weights);
  to.derived = std::move(derived);
  to.workspace = std::move(workspace);
  to.device_step = std::move(device_step);
  workspace = Workspace();
}

// What the family derived from its weights when it was loaded first is the same now: finish() is for once. Only where
// it lies on a device is it at another place.
Status LoadedModel::take_weights(LoadedModel& fresh) {
  const std::vector<TensorSpec> own = def->tensors(), read = fresh.def->tensors();
  const std::vector<DerivedVector> own_derived = def->derived(), read_derived = fresh.def->derived();
  if (own.size() != read.size() || own_derived.size() != read_derived.size()) {
    return Status::from_literal(StatusCode::kCorrupt, "the model has changed its tensors");
  }
  for (size_t i = 0; i < own.size(); ++i) *own[i].weight = *read[i].weight;
  if (fresh.derived.data() != nullptr) {
    for (size_t i = 0; i < own_derived.size(); ++i) *own_derived[i].address = *read_derived[i].address;
  }
  fresh.move_resident(*this);
  return {};
}

}  // namespace fastserve
