// Row normalisations.
#include "ops/norm.h"

#include "ops/parallel.h"

namespace fastserve::ops {

void rms_norm(const Device& device, const Rows& input, const Weight& weight, float eps, float weight_offset,
              const Rows& output) {
  parallel_rows(device, input.count, input.count * input.cols, [&](int64_t begin, int64_t end) {
    const kernels::RmsNormArgs args{
        input.data, input.stride, weight.vector, weight_offset, eps, output.data, output.stride, input.cols, 0,
        begin,      end};
    FSV_RUN_KERNEL(device, rms_norm, args);
  });
}

void layer_norm(const Device& device, const Rows& input, const Weight& weight, const Weight& bias, float eps,
                const Rows& output) {
  parallel_rows(device, input.count, input.count * input.cols, [&](int64_t begin, int64_t end) {
    const kernels::LayerNormArgs args{input.data,  input.stride,  weight.vector, bias.vector, eps,
                                      output.data, output.stride, input.cols,    begin,       end};
    FSV_RUN_KERNEL(device, layer_norm, args);
  });
}

void rms_norm_heads(const Device& device, const Rows& rows, int32_t head_count, int32_t head_dim, const Weight& weight,
                    float eps, float weight_offset) {
  parallel_rows(device, rows.count, rows.count * rows.cols, [&](int64_t begin, int64_t end) {
    const kernels::RmsNormArgs args{rows.data,   rows.stride, weight.vector, weight_offset, eps, rows.data,
                                    rows.stride, head_dim,    head_count,    begin,         end};
    FSV_RUN_KERNEL(device, rms_norm, args);
  });
}

}  // namespace fastserve::ops
