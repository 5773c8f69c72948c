// Gated activations, sums, and rows looked up, chosen and removed.
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
// output[i] = input[row_ids[i]].
void select_rows(const Device& device, const Rows& input, const int32_t* row_ids, const Rows& output);
// Rows [begin, begin + count) go, later ones move up. The rows lie without gaps (stride == cols).
void remove_rows(const Device& device, const Rows& rows, int64_t begin, int64_t count);

}  // namespace fastserve::ops
