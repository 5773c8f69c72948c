// Every family against transformers: logits of the tiny models in golden/hf, computed with f32 activations, whole, in
// chunks, token by token and beside other sequences. Goldens: golden/make_families.py.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "backend/device.h"
#include "formats/model_source.h"
#include "memory/memory_resource.h"
#include "models/model_def.h"
#include "sampling/logits_scan.h"
#include "state/kv_cache.h"
#include "tensor/packing.h"

namespace fastserve {
namespace {

struct Golden {
  int32_t vocabulary = 0;
  std::vector<int32_t> ids;
  std::vector<float> logits;
};

Golden read_golden(const std::string& family) {
  Golden golden;
  std::FILE* file = std::fopen((std::string(FASTSERVE_TEST_DATA) + "/families/" + family + ".bin").c_str(), "rb");
  if (file == nullptr) return golden;
  int32_t header[2] = {};
  EXPECT_EQ(std::fread(header, sizeof(int32_t), 2, file), 2U);
  golden.vocabulary = header[1];
  golden.ids.resize(static_cast<size_t>(header[0]));
  golden.logits.resize(golden.ids.size() * static_cast<size_t>(header[1]));
  EXPECT_EQ(std::fread(golden.ids.data(), sizeof(int32_t), golden.ids.size(), file), golden.ids.size());
  EXPECT_EQ(std::fread(golden.logits.data(), sizeof(float), golden.logits.size(), file), golden.logits.size());
  std::fclose(file);
  return golden;
}

// A model with its weights in place, and what it computes with; no tokeniser is involved.
class TinyRun {
 public:
  void open(const std::string& path, const kernels::KernelTable& table, bool exact) {
    Result<std::unique_ptr<ModelSource>> source = open_model_source(path);
    ASSERT_TRUE(source.ok()) << source.status().message();
    Result<std::unique_ptr<ModelDef>> def = create_model_def(**source);
    ASSERT_TRUE(def.ok()) << def.status().message();
    def_ = def.take();
    for (const TensorSpec& spec : def_->tensors()) load(**source, spec);
    def_->bind();
    const Status finished = def_->finish();
    ASSERT_TRUE(finished.ok()) << finished.message();
    Result<KvCache> kv = KvCache::create({def_->shape().kv_layers, kernels::KvType::kF32}, page_memory(), 1024);
    ASSERT_TRUE(kv.ok());
    kv_ = kv.take();
    Result<Workspace> workspace = Workspace::create(page_memory(), def_->shape().workspace, kRowsMax, kRowsMax);
    ASSERT_TRUE(workspace.ok());
    workspace_ = workspace.take();
    executor_ = create_serial_executor();
    device_ = {&table, executor_.get(), exact};
  }

  // Logits of sequences given chunk by chunk: chunks[i] is how many tokens of sequence i to compute now.
  struct Sequence {
    std::vector<int32_t> ids;
    SequenceKv kv;
    int32_t computed = 0;
    std::vector<float> logits;
  };
  void admit(Sequence& sequence) {
    ASSERT_TRUE(kv_.admit(sequence.kv, static_cast<int32_t>(sequence.ids.size()), kRowsMax));
  }
  void release(Sequence& sequence) { kv_.release(sequence.kv); }
  // Layers are computed for this many rows after the other.
  void set_layer_rows(int32_t count) { layer_rows_ = count; }
  void step(std::vector<Sequence*> sequences, std::vector<int32_t> chunks) {
    std::vector<int32_t> ids, positions, rows;
    std::vector<std::vector<kernels::KvView>> views(static_cast<size_t>(kv_.group_count()));
    for (size_t i = 0; i < sequences.size(); ++i) {
      Sequence& sequence = *sequences[i];
      ASSERT_TRUE(kv_.reserve(sequence.kv, sequence.computed + chunks[i]));
      for (size_t group = 0; group < views.size(); ++group) {
        views[group].push_back({sequence.kv.groups[group].addresses.data(), static_cast<int32_t>(ids.size()), chunks[i],
                                sequence.computed});
      }
      for (int32_t token = 0; token < chunks[i]; ++token) {
        rows.push_back(static_cast<int32_t>(ids.size()));
        ids.push_back(sequence.ids[static_cast<size_t>(sequence.computed + token)]);
        positions.push_back(sequence.computed + token);
      }
    }
    std::vector<const kernels::KvView*> view_pointers;
    for (const auto& group : views) view_pointers.push_back(group.data());
    ForwardPass pass;
    pass.device = &device_;
    pass.workspace = &workspace_;
    pass.kv = {kv_.layers(), kv_.layer_groups()};
    pass.batch = {0,
                  ids.data(),
                  positions.data(),
                  static_cast<int32_t>(ids.size()),
                  static_cast<int32_t>(sequences.size()),
                  view_pointers.data()};
    def_->embed(pass);
    for (int32_t layer = 0; layer < def_->shape().layer_count; ++layer) run_layer(pass, layer);
    run_head(pass, rows);
    const Rows logits = workspace_.logits(static_cast<int64_t>(rows.size()));
    int64_t row = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      for (int32_t token = 0; token < chunks[i]; ++token, ++row) {
        sequences[i]->logits.insert(sequences[i]->logits.end(), logits.row(row), logits.row(row) + logits.cols);
      }
      sequences[i]->computed += chunks[i];
      kv_.drop_outside_window(sequences[i]->kv, sequences[i]->computed);
    }
  }
  std::vector<float> run_whole(const std::vector<int32_t>& ids, int32_t chunk) {
    Sequence sequence;
    sequence.ids = ids;
    admit(sequence);
    while (sequence.computed < static_cast<int32_t>(ids.size())) {
      step({&sequence}, {std::min(chunk, static_cast<int32_t>(ids.size()) - sequence.computed)});
    }
    release(sequence);
    EXPECT_TRUE(kv_.check_integrity());
    return sequence.logits;
  }

 private:
  // In two parts. Where the family finds out the maxima of the logits, they are what a scan finds.
  void run_head(const ForwardPass& pass, const std::vector<int32_t>& rows) {
    const auto count = static_cast<int32_t>(rows.size());
    constexpr int32_t kBlockPanels = kernels::kLogitBlock / kernels::kPanelRows;
    def_->head(pass, rows.data(), count, {0, kBlockPanels});
    def_->head(pass, rows.data(), count, {kBlockPanels, INT32_MAX});
    if (!def_->shape().has_logit_maxima) return;
    const Rows logits = workspace_.logits(count), maxima = workspace_.logit_maxima(count);
    const auto words = static_cast<size_t>(logits.cols);
    std::vector<float> expected(logit_block_count(words));
    for (int32_t row = 0; row < count; ++row) {
      ASSERT_TRUE(scan_blocks(std::span<const float>(logits.row(row), words), expected).ok());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), maxima.row(row))) << row;
    }
  }
  static constexpr int32_t kRowsMax = 256;
  int32_t layer_rows_ = kRowsMax;

  void run_layer(const ForwardPass& whole, int32_t layer) {
    for (int32_t begin = 0; begin < whole.batch.row_count; begin += layer_rows_) {
      const int32_t count = std::min(layer_rows_, whole.batch.row_count - begin);
      std::vector<std::vector<kernels::KvView>> views(static_cast<size_t>(kv_.group_count()));
      std::vector<const kernels::KvView*> pointers;
      for (size_t group = 0; group < views.size(); ++group) {
        for (int32_t s = 0; s < whole.batch.sequence_count; ++s) {
          const kernels::KvView some = rows_of(whole.batch.views[group][s], begin, count);
          if (some.row_count > 0) views[group].push_back(some);
        }
        pointers.push_back(views[group].data());
      }
      ForwardPass pass = whole;
      pass.batch = {begin, whole.batch.token_ids + begin,         whole.batch.positions + begin,
                    count, static_cast<int32_t>(views[0].size()), pointers.data()};
      def_->layer(pass, layer);
    }
  }

  void load(ModelSource& source, const TensorSpec& spec) {
    const TensorInfo* tensor = source.find_tensor(spec.name);
    if (tensor == nullptr) {
      ASSERT_FALSE(spec.required) << spec.name;
      return;
    }
    std::vector<uint8_t> raw(tensor->size_bytes);
    const Status read = source.read_tensor(*tensor, 0, raw.data(), raw.size());
    ASSERT_TRUE(read.ok()) << spec.name << ": " << read.message();
    const auto type = static_cast<DType>(tensor->type);
    Weight& weight = *spec.weight;
    weight.rows = spec.rows;
    weight.cols = spec.cols;
    if (spec.role == TensorRole::kVector) {
      ASSERT_EQ(tensor->element_count(), spec.rows) << spec.name;
      float* values = take(static_cast<size_t>(spec.rows) * sizeof(float)).as<float>();
      dequantize_row(type, raw.data(), values, spec.rows);
      weight.vector = values;
      return;
    }
    ASSERT_EQ(tensor->dimensions[0], spec.cols) << spec.name;
    ASSERT_EQ(tensor->element_count(), spec.cols * spec.rows * spec.stack) << spec.name;
    const PackedLayout layout = packed_layout_for(type);
    const int64_t panel_bytes = packed_panel_bytes(layout, spec.cols), panels = packed_panel_count(spec.rows);
    uint8_t* packed = take(static_cast<size_t>(panel_bytes * panels * spec.stack)).data();
    for (int64_t panel = 0; panel < panels * spec.stack; ++panel) {
      const int64_t first = panel % panels * kernels::kPanelRows;
      const int64_t source_row = panel / panels * spec.rows + first;
      pack_panel(type, raw.data() + source_row * row_bytes(type, spec.cols),
                 std::min<int64_t>(kernels::kPanelRows, spec.rows - first), spec.cols, packed + panel * panel_bytes);
    }
    weight.matrix = {packed, layout, 0, spec.rows, spec.cols, panel_bytes};
  }
  Buffer& take(size_t size_bytes) {
    buffers_.push_back(Buffer::allocate(page_memory(), size_bytes, MemoryUse::kWeights).take());
    return buffers_.back();
  }

  std::vector<Buffer> buffers_;
  std::unique_ptr<ModelDef> def_;
  KvCache kv_;
  Workspace workspace_;
  std::unique_ptr<Executor> executor_;
  Device device_;
};

class Families : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ = read_golden(GetParam());
    ASSERT_FALSE(golden_.ids.empty());
    path_ = std::string(FASTSERVE_TEST_DATA) + "/hf/" + GetParam();
  }
  Golden golden_;
  std::string path_;
};

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts
  }
  return largest;
}

// Root of the mean square: a routed row that takes another expert by a hair moves single values, not this.
double mean_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_P(Families, LogitsMatchTransformers) {
  TinyRun run;
  run.open(path_, kernels::reference_cpu_table(), true);
  EXPECT_LE(largest_difference(run.run_whole(golden_.ids, 256), golden_.logits), 1e-4);
}

TEST_P(Families, SimdLogitsAreNear) {
  TinyRun run;
  run.open(path_, kernels::best_cpu_table(), false);
  EXPECT_LE(mean_difference(run.run_whole(golden_.ids, 256), golden_.logits), 0.01);
}

TEST_P(Families, ChunkedAndCachedEqualWhole) {
  for (const bool exact : {true, false}) {
    TinyRun run;
    run.open(path_, exact ? kernels::reference_cpu_table() : kernels::best_cpu_table(), exact);
    const std::vector<float> whole = run.run_whole(golden_.ids, 256);
    EXPECT_TRUE(same_bits(run.run_whole(golden_.ids, 1), whole)) << "token by token";
    EXPECT_TRUE(same_bits(run.run_whole(golden_.ids, 17), whole)) << "in chunks";
  }
}

TEST_P(Families, BatchedEqualsSingle) {
  TinyRun run;
  run.open(path_, kernels::best_cpu_table(), false);
  const std::vector<float> alone = run.run_whole(golden_.ids, 256);
  const auto count = static_cast<int32_t>(golden_.ids.size());
  for (const int32_t layer_rows : {256, 9, 1}) {  // layers whole, and in pieces that cut through sequences
    run.set_layer_rows(layer_rows);
    TinyRun::Sequence first, second;
    first.ids = golden_.ids;
    second.ids.assign(golden_.ids.rbegin(), golden_.ids.rend());
    run.admit(first);
    run.admit(second);
    run.step({&second}, {5});
    run.step({&second, &first}, {7, 20});
    run.step({&first, &second}, {1, 1});
    run.step({&second, &first}, {count - 13, count - 21});
    EXPECT_TRUE(same_bits(first.logits, alone)) << layer_rows;
    run.release(first);
    run.release(second);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families,
                         testing::Values("gemma2", "gemma3", "gpt2", "llama", "mistral", "mixtral", "phi3", "qwen2",
                                         "qwen3", "qwen3moe"),
                         [](const testing::TestParamInfo<const char*>& family) { return std::string(family.param); });

}  // namespace
}  // namespace fastserve
