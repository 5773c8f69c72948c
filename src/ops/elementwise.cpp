// Gated activations, sums and embedding look-ups.
#include "ops/elementwise.h"

#include <cmath>

#include "ops/parallel.h"

namespace fastserve::ops {

void gated(const Device& device, const Rows& gate, const Rows* up, kernels::Activation activation, const Rows& output) {
  parallel_rows(device, gate.count, gate.count * gate.cols * 2, [&](int64_t begin, int64_t end) {
    const kernels::GatedArgs args{gate.data,
                                  gate.stride,
                                  up != nullptr ? up->data : nullptr,
                                  up != nullptr ? up->stride : 0,
                                  activation,
                                  output.data,
                                  output.stride,
                                  gate.cols,
                                  begin,
                                  end};
    device.kernels->gated(&args);
  });
}

void add(const Device& device, const Rows& accumulator, const Rows& addend) {
  parallel_rows(device, accumulator.count, accumulator.count * accumulator.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const kernels::AddArgs args{accumulator.row(row), addend.row(row), accumulator.row(row), accumulator.cols};
      device.kernels->add(&args);
    }
  });
}

void softcap(const Device& device, const Rows& values, float cap) {
  parallel_rows(device, values.count, values.count * values.cols * 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* data = values.row(row);
      for (int64_t col = 0; col < values.cols; ++col) data[col] = cap * std::tanh(data[col] / cap);
    }
  });
}

void get_rows(const Device& device, const Weight& table, const int32_t* row_ids, float scale, const Rows& output) {
  parallel_rows(device, output.count, output.count * output.cols, [&](int64_t begin, int64_t end) {
    const kernels::GetRowsArgs args{&table.matrix,     row_ids + begin, end - begin,
                                    output.row(begin), output.stride,   scale};
    device.kernels->get_rows(&args);
  });
}

}  // namespace fastserve::ops
