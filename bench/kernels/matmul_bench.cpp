// Matrix kernels on one thread: GB/s of packed weights (m = 1 is decode) and operations per second (large m is
// prefill).
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tensor/packing.h"

namespace fastserve {
namespace {

using kernels::KernelTable;

struct Problem {
  Problem(DType type, int64_t rows, int64_t cols, int64_t m) : cols_(cols), m_(m) {
    const PackedLayout layout = packed_layout_for(type);
    const int64_t panel_bytes = packed_panel_bytes(layout, cols);
    weights_.resize(static_cast<size_t>(packed_bytes(layout, rows, cols)) + 64);
    void* base = weights_.data();
    size_t space = weights_.size();
    std::align(64, space - 64, base, space);
    std::mt19937 random(1);
    std::vector<uint8_t> source(static_cast<size_t>(16 * row_bytes(type, cols)));
    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random() & 0x3f);  // small exponents: finite scales
    auto* data = static_cast<uint8_t*>(base);
    pack_panel(type, source.data(), 16, cols, data);
    for (int64_t p = 1; p < packed_panel_count(rows); ++p) std::memcpy(data + p * panel_bytes, data, panel_bytes);
    matrix_ = {data, layout, 0, rows, cols, panel_bytes};
    input_.resize(static_cast<size_t>(m * cols));
    for (float& x : input_) x = static_cast<float>(random() % 2000) / 1000.0F - 1.0F;
    values_.resize(input_.size());
    scales_.resize(input_.size() / 32);
    sums_.resize(scales_.size());
    tile_scales_.resize(static_cast<size_t>((m + 15) / 16 * 16 * cols / 32));
    tile_sums_.resize(tile_scales_.size());
    q8_ = {values_.data(), scales_.data(), sums_.data(), cols, tile_scales_.data(), tile_sums_.data()};
    rounded_.resize(static_cast<size_t>(m * bf16_stride()));
    output_.resize(static_cast<size_t>(m * rows));
  }

  kernels::MatmulArgs args() {
    kernels::MatmulArgs a{};
    a.weights = &matrix_;
    a.input_q8 = &q8_;
    a.input = input_.data();
    a.input_stride = cols_;
    a.input_bf16 = rounded_.data();
    a.input_bf16_stride = bf16_stride();
    a.m = m_;
    a.output = output_.data();
    a.output_stride = matrix_.rows;
    a.panel_end = packed_panel_count(matrix_.rows);
    return a;
  }
  kernels::QuantizeArgs quantize() { return {input_.data(), cols_, &q8_, 0, m_}; }
  kernels::RoundBf16Args round() { return {input_.data(), cols_, rounded_.data(), bf16_stride(), cols_, 0, m_}; }
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  int64_t bf16_stride() const { return (cols_ + 31) / 32 * 32; }

  int64_t cols_, m_;
  std::vector<uint16_t> rounded_;
  std::vector<uint8_t> weights_;
  PackedMatrix matrix_{};
  std::vector<float> input_, scales_, tile_scales_, tile_sums_, output_;
  std::vector<int8_t> values_;
  std::vector<int32_t> sums_;
  kernels::QuantizedRows q8_{};
};

void run(benchmark::State& state, const KernelTable* table, DType type, bool int8, int64_t rows, int64_t cols,
         int64_t m) {
  Problem problem(type, rows, cols, m);
  const auto quantize = problem.quantize();
  table->quantize_q8(&quantize);
  const auto args = problem.args();
  const auto layout = static_cast<int>(problem.matrix().layout);
  const bool rounds = type == DType::kBF16 && table->matmul_bf16 != nullptr;
  if (rounds) {
    const auto round = problem.round();
    table->round_bf16(&round);
  }
  const kernels::MatmulFn fn = int8     ? table->matmul_q8[layout]
                               : rounds ? table->matmul_bf16
                                        : table->matmul_f32[layout];
  for (auto _ : state) {
    fn(&args);
    benchmark::ClobberMemory();
  }
  const double runs = static_cast<double>(state.iterations());
  const double bytes = static_cast<double>(packed_panel_count(rows) * problem.matrix().panel_bytes);
  state.counters["GB/s"] = benchmark::Counter(runs * bytes * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GOPS"] =
      benchmark::Counter(runs * 2e-9 * static_cast<double>(rows * cols * m), benchmark::Counter::kIsRate);
}

void quantize_rows(benchmark::State& state, const KernelTable* table) {
  Problem problem(DType::kQ8_0, 16, 2048, 64);
  const auto args = problem.quantize();
  for (auto _ : state) {
    table->quantize_q8(&args);
    benchmark::ClobberMemory();
  }
  state.counters["Gvalues/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 64e-9 * 2048, benchmark::Counter::kIsRate);
}

struct Shape {
  int64_t rows, cols;
};

int register_all() {
  constexpr DType kTypes[] = {DType::kQ4_1, DType::kQ4_0, DType::kQ8_0, DType::kQ5_0, DType::kQ4_K,
                              DType::kQ5_K, DType::kQ6_K, DType::kQ3_K, DType::kQ2_K, DType::kIQ4_NL,
                              DType::kBF16, DType::kF16,  DType::kF32};
  constexpr Shape kShapes[] = {{576, 576}, {1536, 576}, {49152, 576}, {2048, 2048}, {8192, 2048}};
  const KernelTable* tables[8];
  const int count = kernels::runnable_cpu_tables(tables, 8);
  for (int t = 0; t < count; ++t) {
    const KernelTable* table = tables[t];
    benchmark::RegisterBenchmark((std::string(table->name) + "/quantize").c_str(), quantize_rows, table);
    for (const DType type : kTypes) {
      const bool int8 = type != DType::kF32 && type != DType::kF16 && type != DType::kBF16;
      for (const Shape shape : kShapes) {
        if (shape.cols % dtype_traits(static_cast<uint32_t>(type))->block_elements != 0) continue;
        for (const int64_t m : {1, 4, 6, 8, 12, 20, 32, 512}) {
          const std::string name = std::string(table->name) + "/" + dtype_traits(static_cast<uint32_t>(type))->name +
                                   "/" + std::to_string(shape.rows) + "x" + std::to_string(shape.cols) + "/m" +
                                   std::to_string(m);
          benchmark::RegisterBenchmark(
              name.c_str(), [=](benchmark::State& state) { run(state, table, type, int8, shape.rows, shape.cols, m); });
        }
      }
    }
  }
  return count;
}

const int kRegistered = register_all();

}  // namespace
}  // namespace fastserve
