// Gated activations, sums and embedding look-ups.
#pragma once
#include "backend/device.h"
#include "tensor/weight.h"

namespace fastserve::ops {

// out = activation(gate) * up; `up` may be null (plain activation). out may be gate.
void gated(const Device& device, const Rows& gate, const Rows* up, kernels::Activation activation, const Rows& output);
// accumulator += addend, row by row.
void add(const Device& device, const Rows& accumulator, const Rows& addend);
// values = cap * tanh(values / cap).
void softcap(const Device& device, const Rows& values, float cap);
// output[i] = table[row_ids[i]] * scale.
void get_rows(const Device& device, const Weight& table, const int32_t* row_ids, float scale, const Rows& output);

}  // namespace fastserve::ops
