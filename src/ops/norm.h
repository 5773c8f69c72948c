// Row normalisations.
#pragma once
#include "backend/device.h"
#include "tensor/weight.h"

namespace fastserve::ops {

// out = x / rms(x) * (weight + weight_offset); `weight` may be absent. out may be input.
void rms_norm(const Device& device, const Rows& input, const Weight& weight, float eps, float weight_offset,
              const Rows& output);
// out = (x - mean) / std * weight + bias; `bias` may be absent.
void layer_norm(const Device& device, const Rows& input, const Weight& weight, const Weight& bias, float eps,
                const Rows& output);
// The same over every head of every row: data[row][head][dim], in place (QK-norm).
void rms_norm_heads(const Device& device, const Rows& rows, int32_t head_count, int32_t head_dim, const Weight& weight,
                    float eps, float weight_offset);

}  // namespace fastserve::ops
