// Gated activations, sums, and rows looked up, chosen and removed.
#include "ops/elementwise.h"

#include <cmath>
#include <cstring>

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
    FSV_RUN_KERNEL(device, gated, args);
  });
}

void add(const Device& device, const Rows& accumulator, const Rows& addend) {
  if (device.stream != nullptr && accumulator.stride == accumulator.cols && addend.stride == accumulator.cols) {
    const kernels::AddArgs args{accumulator.data, addend.data, accumulator.data, accumulator.count * accumulator.cols};
    FSV_RUN_KERNEL(device, add, args);
    return;
  }
  parallel_rows(device, accumulator.count, accumulator.count * accumulator.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const kernels::AddArgs args{accumulator.row(row), addend.row(row), accumulator.row(row), accumulator.cols};
      FSV_RUN_KERNEL(device, add, args);
    }
  });
}

void softcap(const Device& device, const Rows& values, float cap) {
  if (device.stream != nullptr) {
    if (values.count == 0) return;
    const kernels::DeviceSoftcapArgs args{values.data, values.stride, values.count, values.cols, cap};
    device.stream->launch(device.stream->kernels().softcap, "softcap", args);
    return;
  }
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
    FSV_RUN_KERNEL(device, get_rows, args);
  });
}

void select_rows(const Device& device, const Rows& input, const int32_t* row_ids, const Rows& output) {
  if (device.stream != nullptr) {
    if (output.count == 0) return;
    const kernels::DeviceSelectRowsArgs args{input.data,  input.stride, row_ids,      output.count,
                                             output.cols, output.data,  output.stride};
    device.stream->launch(device.stream->kernels().select_rows, "select_rows", args);
    return;
  }
  for (int64_t i = 0; i < output.count; ++i) {
    std::memcpy(output.row(i), input.row(row_ids[i]), static_cast<size_t>(output.cols) * sizeof(float));
  }
}

void remove_rows(const Device& device, const Rows& rows, int64_t begin, int64_t count) {
  const auto row_bytes = static_cast<size_t>(rows.cols) * sizeof(float);
  if (device.stream == nullptr) {
    std::memmove(rows.row(begin), rows.row(begin + count), static_cast<size_t>(rows.count - begin - count) * row_bytes);
    return;
  }
  for (int64_t row = begin; row + count < rows.count; ++row) {  // one by one: they overlap
    device.stream->copy_on_device(rows.row(row), rows.row(row + count), row_bytes);
  }
}

}  // namespace fastserve::ops
