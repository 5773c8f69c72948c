// Attention and the small kernels of every runnable table, one thread. Decode figures are bytes of K and V read a
// second; prefill figures are multiply-adds times two.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_api.h"

namespace {

using namespace fastserve::kernels;

std::vector<float> random_floats(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

struct Shape {
  const char* name;
  int32_t kv_heads, group, dim;
};
constexpr Shape kShapes[] = {
    {"smollm2_135m", 3, 3, 64}, {"llama_1b", 8, 4, 64}, {"gemma_270m", 1, 4, 256}, {"mha_128", 4, 1, 128}};

struct Cache {
  KvLayer layer = {};
  std::vector<uint8_t> storage;
  std::vector<uint8_t*> blocks;
  std::vector<float> q, output;

  Cache(const KernelTable& table, KvType type, const Shape& shape, int32_t tokens, int32_t rows) {
    layer = {type, shape.kv_heads, shape.dim, shape.dim, 0, shape.kv_heads * kv_head_bytes(type, shape.dim)};
    const int64_t block_bytes = (layer.v_offset_bytes * 2 + 63) / 64 * 64;
    const int32_t count = (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    storage.resize(static_cast<size_t>(count * block_bytes + 64));
    uint8_t* base = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    for (int32_t i = 0; i < count; ++i) blocks.push_back(base + i * block_bytes);
    const size_t row = static_cast<size_t>(shape.kv_heads) * shape.dim;
    const std::vector<float> kv = random_floats(row * tokens);
    const KvView view = {blocks.data(), 0, tokens, 0};
    const auto stride = static_cast<int64_t>(row);
    const KvAppendArgs args = {&layer, &view, 1, kv.data(), stride, kv.data(), stride, 0, tokens};
    table.kv_append(&args);
    q = random_floats(row * shape.group * rows);
    output.resize(q.size());
  }
};

void attend(benchmark::State& state, const KernelTable* table, KvType type, Shape shape, int32_t tokens, int32_t rows) {
  Cache cache(*table, type, shape, tokens, rows);
  const KvView view = {cache.blocks.data(), 0, rows, tokens - rows};
  AttentionArgs args = {};
  args.layer = &cache.layer;
  args.sequences = &view;
  args.sequence_count = 1;
  args.q = cache.q.data();
  args.head_count = shape.kv_heads * shape.group;
  args.q_stride = args.output_stride = int64_t{args.head_count} * shape.dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape.dim));
  args.output = cache.output.data();
  args.head_end = args.head_count;
  args.row_end = rows;
  for (auto _ : state) {
    table->attention(&args);
    benchmark::ClobberMemory();
  }
  double keys = 0;
  for (int32_t r = 0; r < rows; ++r) keys += tokens - rows + r + 1;
  const double bytes = 2.0 * tokens * shape.kv_heads * shape.dim * kv_element_bytes(type);
  const double flops = 4.0 * keys * args.head_count * shape.dim;
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["B/s"] = benchmark::Counter(bytes, rate);
  state.counters["FLOP/s"] = benchmark::Counter(flops, rate);
}

void append(benchmark::State& state, const KernelTable* table, KvType type, Shape shape, int32_t rows) {
  Cache cache(*table, type, shape, 512, 1);
  const auto stride = int64_t{shape.kv_heads} * shape.dim;
  const std::vector<float> kv = random_floats(static_cast<size_t>(stride * rows));
  const KvView view = {cache.blocks.data(), 0, rows, 3};
  const KvAppendArgs args = {&cache.layer, &view, 1, kv.data(), stride, kv.data(), stride, 0, rows};
  for (auto _ : state) {
    table->kv_append(&args);
    benchmark::ClobberMemory();
  }
  state.counters["elements/s"] = benchmark::Counter(2.0 * stride * rows, benchmark::Counter::kIsIterationInvariantRate);
}

constexpr int64_t kCols = 1536, kRows = 16;

void gate(benchmark::State& state, const KernelTable* table, Activation activation) {
  const std::vector<float> x = random_floats(kCols * kRows), up = random_floats(kCols * kRows);
  std::vector<float> out(x.size());
  const GatedArgs args = {x.data(), kCols, up.data(), kCols, activation, out.data(), kCols, kCols, 0, kRows};
  for (auto _ : state) {
    table->gated(&args);
    benchmark::ClobberMemory();
  }
  state.counters["elements/s"] =
      benchmark::Counter(double(kCols * kRows), benchmark::Counter::kIsIterationInvariantRate);
}

void normalise(benchmark::State& state, const KernelTable* table, bool fused) {
  const std::vector<float> x = random_floats(kCols * kRows), weight = random_floats(kCols);
  std::vector<float> out(x.size()), scales(x.size() / 32);
  std::vector<int8_t> values(x.size());
  std::vector<int32_t> sums(scales.size());
  const QuantizedRows rows = {values.data(), scales.data(), sums.data(), kCols};
  RmsNormQuantizeArgs args = {
      {x.data(), kCols, weight.data(), 0.0f, 1e-5f, fused ? nullptr : out.data(), kCols, kCols, 1, 0, kRows}, &rows};
  const QuantizeArgs quantize = {out.data(), kCols, &rows, 0, kRows};
  for (auto _ : state) {
    if (fused) {
      table->rms_norm_quantize(&args);
    } else {
      table->rms_norm(&args.norm);
      table->quantize_q8(&quantize);
    }
    benchmark::ClobberMemory();
  }
  state.counters["elements/s"] =
      benchmark::Counter(double(kCols * kRows), benchmark::Counter::kIsIterationInvariantRate);
}

const char* type_name(KvType type) {
  const char* const names[] = {"f16", "f32", "bf16", "q8"};
  return names[static_cast<int>(type)];
}

bool register_all() {
  const KernelTable* tables[8];
  const int count = runnable_cpu_tables(tables, 8);
  for (int i = 0; i < count; ++i) {
    const KernelTable* table = tables[i];
    const std::string name = table->name;
    for (KvType type : {KvType::kF16, KvType::kQ8, KvType::kF32, KvType::kBF16}) {
      for (const Shape& shape : kShapes) {
        const std::string end = std::string("/") + shape.name + "/" + type_name(type) + "/" + name;
        benchmark::RegisterBenchmark(("decode_2048" + end).c_str(), attend, table, type, shape, 2048, 1);
        benchmark::RegisterBenchmark(("decode_128" + end).c_str(), attend, table, type, shape, 128, 1);
        benchmark::RegisterBenchmark(("prefill_512" + end).c_str(), attend, table, type, shape, 512, 512);
        for (const int rows : {1, 2, 4, 8, 16, 64}) {  // of a long prompt, as time grants cut it
          const std::string chunk = "chunk_" + std::to_string(rows) + "_at_4096";
          benchmark::RegisterBenchmark((chunk + end).c_str(), attend, table, type, shape, 4096, rows);
        }
        benchmark::RegisterBenchmark(("append_1" + end).c_str(), append, table, type, shape, 1);
        benchmark::RegisterBenchmark(("append_256" + end).c_str(), append, table, type, shape, 256);
      }
    }
    benchmark::RegisterBenchmark(("silu/" + name).c_str(), gate, table, Activation::kSilu);
    benchmark::RegisterBenchmark(("gelu_tanh/" + name).c_str(), gate, table, Activation::kGeluTanh);
    benchmark::RegisterBenchmark(("rms_norm_then_quantize/" + name).c_str(), normalise, table, false);
    benchmark::RegisterBenchmark(("rms_norm_quantize/" + name).c_str(), normalise, table, true);
  }
  return true;
}

const bool registered = register_all();

}  // namespace
