// The epilogue of matrix kernels: sums of one panel, acc[row][16], to the output rows. Include after vec16.h.
#pragma once
#include "kernels/kernel_api.h"

namespace fastserve::kernels {
namespace {

inline Vec finish_lanes(const MatmulArgs& args, Vec value, Vec bias, Vec before) {
  if (args.bias != nullptr) value = value + bias;
  return args.epilogue == Epilogue::kAdd ? before + value : value;
}

// Activation rows [row_begin, row_begin + rows).
inline void store_tile(const MatmulArgs& args, int64_t panel, int64_t row_begin, int rows, const float* acc) {
  const int64_t first = panel * kPanelRows;
  const int64_t left = args.weights->rows - first;
  const int n = static_cast<int>(left < kPanelRows ? left : kPanelRows);
  const bool adds = args.epilogue == Epilogue::kAdd;
  const Vec bias = args.bias != nullptr ? load_first(args.bias + first, n) : zero();
  for (int i = 0; i < rows; ++i) {
    float* out = args.output + (row_begin + i) * args.output_stride + first;
    const Vec value = load(acc + i * kPanelRows);
    if (n == kPanelRows) {
      store(out, finish_lanes(args, value, bias, adds ? load(out) : zero()));
    } else {
      store_first(out, finish_lanes(args, value, bias, adds ? load_first(out, n) : zero()), n);
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
