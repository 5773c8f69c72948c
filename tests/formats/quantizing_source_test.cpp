// load_dtype: matrices come out as quantize_row makes them, in pieces of any size; all else is as it was.
#include "formats/quantizing_source.h"

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "formats/memory_file.h"
#include "tensor/quantize.h"

namespace fastserve {
namespace {

constexpr const char* kFolder = FASTSERVE_TEST_DATA "/hf/qwen2";

std::vector<uint8_t> read_all(ModelSource& source, const TensorInfo& tensor, size_t step) {
  std::vector<uint8_t> bytes(tensor.size_bytes);
  for (size_t begin = 0; begin < bytes.size(); begin += step) {
    const size_t count = std::min(step, bytes.size() - begin);
    EXPECT_TRUE(source.read_tensor(tensor, begin, bytes.data() + begin, count).ok());
  }
  return bytes;
}

class Quantizing : public testing::TestWithParam<DType> {};

TEST_P(Quantizing, MatricesAreQuantisedRowByRow) {
  auto plain = open_model_source(kFolder);
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  auto opened = quantize_on_load(open_model_source(kFolder).take(), GetParam());
  ASSERT_TRUE(opened.ok());
  ModelSource& source = **opened;
  EXPECT_EQ(source.keys(), (*plain)->keys());
  EXPECT_TRUE(source.identity() == (*plain)->identity());
  EXPECT_TRUE(source.read_side_file("tokenizer.json").ok());
  size_t changed = 0;
  for (const TensorInfo& tensor : source.tensors()) {
    const TensorInfo* before = (*plain)->find_tensor(tensor.name);
    ASSERT_NE(before, nullptr);
    EXPECT_EQ(source.find_tensor(tensor.name), &tensor);
    const std::vector<uint8_t> raw = read_all(**plain, *before, before->size_bytes);
    if (before->dimension_count < 2 || (before->dimensions[0] % 32 != 0 && GetParam() != DType::kF16)) {
      EXPECT_EQ(tensor.type, before->type) << tensor.name;
      EXPECT_EQ(read_all(source, tensor, 7), raw);
      continue;
    }
    ++changed;
    const bool embedding = tensor.name == "token_embd.weight";
    const DType expected = embedding && GetParam() == DType::kQ4_0 ? DType::kQ8_0 : GetParam();
    ASSERT_EQ(tensor.type, static_cast<uint32_t>(expected)) << tensor.name;
    std::vector<float> floats(static_cast<size_t>(before->element_count()));
    dequantize_row(static_cast<DType>(before->type), raw.data(), floats.data(), before->element_count());
    std::vector<uint8_t> packed(tensor.size_bytes);
    quantize_row(expected, floats.data(), packed.data(), tensor.element_count());
    for (size_t step : {size_t{1}, size_t{33}, size_t{1000}, packed.size()}) {
      ASSERT_EQ(read_all(source, tensor, step), packed) << tensor.name << " in steps of " << step;
    }
    EXPECT_FALSE(source.read_tensor(tensor, tensor.size_bytes, packed.data(), 1).ok());
  }
  // Embedding, q, k, v, output, gate, up; down has rows of 48, no multiple of 32.
  EXPECT_EQ(changed, GetParam() == DType::kF16 ? 8u : 7u);
}

INSTANTIATE_TEST_SUITE_P(Types, Quantizing, testing::Values(DType::kQ8_0, DType::kQ4_0, DType::kF16),
                         [](const auto& instance) { return gguf_type_name(static_cast<uint32_t>(instance.param)); });

TEST(QuantizingErrors, OtherTypesAreRefusedByName) {
  const auto opened = quantize_on_load(open_model_source(kFolder).take(), DType::kQ6_K);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(std::string_view(opened.status().message()).find("Q6_K"), std::string_view::npos);
}

TEST(QuantizingErrors, WhatIsQuantisedStays) {
  GgufWriter w;
  w.preamble(3, 1, 0).tensor("a.weight", {32, 2}, 2, 0).pad(32).data(36);
  auto inner = open_gguf(std::make_unique<MemoryFile>(w.bytes));
  ASSERT_TRUE(inner.ok());
  const auto opened = quantize_on_load(inner.take(), DType::kQ8_0);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ((*opened)->tensors()[0].type, 2u);
  EXPECT_EQ(read_all(**opened, (*opened)->tensors()[0], 5).size(), 36u);
}

}  // namespace
}  // namespace fastserve
