// load_dtype over the C ABI. The oracle of a load that quantises is a file that holds the same blocks already: its
// float twin has weights that every rounding gives exactly (the rounding itself has goldens in tests/tensor).
#include <gtest/gtest.h>

#include <string_view>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

constexpr uint32_t kTinyF16 = 1, kTinyQ5_0 = 6, kTinyQ5_1 = 7;

struct TypeCase {
  const char* name;
  uint32_t load_dtype;  // FSV_DTYPE_*
  uint32_t type;        // of GGUF
  int code_min, code_max;
};
constexpr TypeCase kTypes[] = {
    {"Q8_0", FSV_DTYPE_Q8_0, kTinyQ8_0, -127, 127}, {"Q4_0", FSV_DTYPE_Q4_0, kTinyQ4_0, -8, 7},
    {"Q4_1", FSV_DTYPE_Q4_1, kTinyQ4_1, -8, 7},     {"Q5_0", FSV_DTYPE_Q5_0, kTinyQ5_0, -16, 15},
    {"Q5_1", FSV_DTYPE_Q5_1, kTinyQ5_1, -16, 15},
};

// Random blocks whose first two values are the extremes, so that quantising the values gives the blocks again.
void fill_blocks(TinyTensor& tensor, const TypeCase& type, std::mt19937& random) {
  const size_t count = tensor.values.size();
  tensor.type = type.type;
  tensor.values.clear();
  tensor.bytes.clear();
  std::uniform_int_distribution<int> code_of(type.code_min, type.code_max);
  std::uniform_int_distribution<uint32_t> scale_of(1000U / static_cast<uint32_t>(type.code_max),
                                                   1400U / static_cast<uint32_t>(type.code_max));
  for (size_t block = 0; block < count / 32; ++block) {
    const uint32_t scale = scale_of(random);  // in multiples of 2^-12
    tiny::put16(tensor.bytes, tiny::half_of(scale));
    if (type.type == kTinyQ4_1 || type.type == kTinyQ5_1) {
      const auto least = tiny::half_of(scale * static_cast<uint32_t>(-type.code_min));
      tiny::put16(tensor.bytes, static_cast<uint16_t>(least | 0x8000));
    }
    int codes[32] = {type.code_min, type.code_max};
    for (int i = 2; i < 32; ++i) codes[i] = code_of(random);
    uint32_t fifth = 0;
    for (int i = 0; i < 32; ++i) {
      tensor.values.push_back(static_cast<float>(scale) / 4096 * static_cast<float>(codes[i]));
      if (type.type == kTinyQ8_0) tensor.bytes.push_back(static_cast<uint8_t>(codes[i]));
      codes[i] -= type.code_min;
      fifth |= static_cast<uint32_t>(codes[i] >> 4) << i;
    }
    if (type.type == kTinyQ8_0) continue;
    if (type.code_max > 7) {
      for (int shift = 0; shift < 32; shift += 8) tensor.bytes.push_back(static_cast<uint8_t>(fifth >> shift));
    }
    for (int i = 0; i < 16; ++i) {
      tensor.bytes.push_back(static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4));
    }
  }
}

void to_float(TinyTensor& tensor) {
  tensor.type = kTinyF32;
  tensor.bytes.clear();
  for (const float value : tensor.values) {
    tiny::put16(tensor.bytes, static_cast<uint16_t>(std::bit_cast<uint32_t>(value)));
    tiny::put16(tensor.bytes, static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
  }
}

// The model with matrices of that type, as blocks or as the floats that they stand for. Embedding and output have eight
// bits where the others have fewer.
std::vector<uint8_t> block_model(const TypeCase& type, bool as_float) {
  TinyShape shape;
  shape.tied = false;
  return tiny_gguf(shape, [&](std::vector<TinyTensor>& tensors) {
    std::mt19937 random(7);
    for (TinyTensor& tensor : tensors) {
      if (tensor.dimensions.size() < 2) continue;
      const bool is_outer = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
      fill_blocks(tensor, is_outer ? kTypes[0] : type, random);
      if (as_float) to_float(tensor);
    }
  });
}

EditLoad with_dtype(uint32_t dtype) {
  return [dtype](fsv_load_config& config) { config.load_dtype = dtype; };
}

fsv_model_info info_of(fsv_model* model) {
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  EXPECT_EQ(fsv_model_get_info(model, &info, nullptr), FSV_OK);
  return info;
}

Reply logits_of(const std::string& path, uint32_t dtype, uint32_t kernels) {
  Host host(path, [&](fsv_engine_config& config) { config.kernels = kernels; }, with_dtype(dtype));
  Reply reply = host.score_alone(random_prompt(5, 40), true);
  EXPECT_EQ(reply.status, FSV_OK) << reply.message;
  return reply;
}

class LoadDtype : public testing::TestWithParam<TypeCase> {};

TEST_P(LoadDtype, EqualsAFileOfThoseBlocks) {
  const TemporaryFile blocks(block_model(GetParam(), false)), floats(block_model(GetParam(), true));
  for (const uint32_t kernels : {FSV_KERNELS_FAST, FSV_KERNELS_REFERENCE}) {
    expect_same(logits_of(floats.path(), GetParam().load_dtype, kernels),
                logits_of(blocks.path(), FSV_DTYPE_STORED, kernels), GetParam().name);
  }
  Host host;
  fsv_ticket tickets[2] = {};
  ASSERT_EQ(host.begin_load(floats.path(), &tickets[0], nullptr, with_dtype(GetParam().load_dtype)), FSV_OK);
  ASSERT_EQ(host.begin_load(blocks.path(), &tickets[1], nullptr), FSV_OK);
  for (uint32_t more = 1; more != 0;) ASSERT_EQ(fsv_engine_step(host.engine(), 50000, &more, nullptr), FSV_OK);
  fsv_ticket_info infos[2];
  for (int i = 0; i < 2; ++i) {
    fsv_ticket_info_init(&infos[i], sizeof(infos[i]));
    ASSERT_EQ(fsv_ticket_get_info(host.engine(), tickets[i], &infos[i], nullptr), FSV_OK);
    EXPECT_EQ(infos[i].state, FSV_TICKET_READY);
    EXPECT_EQ(infos[i].bytes_done, infos[i].bytes_total);
  }
  EXPECT_EQ(infos[0].bytes_total, infos[1].bytes_total);
}

INSTANTIATE_TEST_SUITE_P(Types, LoadDtype, testing::ValuesIn(kTypes),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(LoadDtypeFloats, HalvesAndWiderFloats) {
  const TemporaryFile floats(block_model(kTypes[0], true));  // at most eleven significant bits: halves hold them
  const Reply stored = logits_of(floats.path(), FSV_DTYPE_STORED, FSV_KERNELS_REFERENCE);
  expect_same(logits_of(floats.path(), FSV_DTYPE_F16, FSV_KERNELS_REFERENCE), stored, "F16");
  TinyShape shape;
  shape.type = kTinyBf16;
  const TemporaryFile halves(shape), wide(tiny_gguf(shape, [](std::vector<TinyTensor>& tensors) {
    for (TinyTensor& tensor : tensors) to_float(tensor);
  }));
  const Reply brain = logits_of(halves.path(), FSV_DTYPE_STORED, FSV_KERNELS_REFERENCE);
  expect_same(logits_of(wide.path(), FSV_DTYPE_BF16, FSV_KERNELS_REFERENCE), brain, "BF16 from F32");
  expect_same(logits_of(halves.path(), FSV_DTYPE_F32, FSV_KERNELS_REFERENCE), brain, "F32 from BF16");
  Host host;
  EXPECT_EQ(std::string_view(info_of(host.load(wide.path(), with_dtype(FSV_DTYPE_BF16))).weight_type), "BF16");
  EXPECT_EQ(std::string_view(info_of(host.load(wide.path(), with_dtype(FSV_DTYPE_F16))).weight_type), "F16");
}

TEST(LoadDtypeSharing, AnotherTypeIsAnotherModel) {
  const TemporaryFile file(TinyShape{});
  Host host;
  fsv_model* stored = host.load(file.path());
  fsv_model* eight = host.load(file.path(), with_dtype(FSV_DTYPE_Q8_0));
  EXPECT_EQ(host.memory().model_count, 2U);
  host.load(file.path(), with_dtype(FSV_DTYPE_Q8_0));
  host.load(file.path());
  EXPECT_EQ(host.memory().model_count, 2U);
  EXPECT_EQ(std::string_view(info_of(stored).weight_type), "F32");
  EXPECT_EQ(std::string_view(info_of(eight).weight_type), "Q8_0");
  EXPECT_LT(info_of(eight).weight_bytes, info_of(stored).weight_bytes / 3);
}

TEST(LoadDtypeSharing, WhatIsQuantisedStays) {
  TinyShape shape;
  shape.type = kTinyQ4_1;
  const TemporaryFile file(shape);
  const Reply stored = logits_of(file.path(), FSV_DTYPE_STORED, FSV_KERNELS_FAST);
  for (const uint32_t dtype : {FSV_DTYPE_Q8_0, FSV_DTYPE_Q4_0, FSV_DTYPE_F16}) {
    expect_same(logits_of(file.path(), dtype, FSV_KERNELS_FAST), stored, "load_dtype " + std::to_string(dtype));
  }
  Host host;
  EXPECT_EQ(std::string_view(info_of(host.load(file.path(), with_dtype(FSV_DTYPE_Q8_0))).weight_type), "Q4_1");
}

TEST(LoadDtypeErrors, UnknownTypesAndFlagsAreRefused) {
  const TemporaryFile file(TinyShape{});
  Host host;
  fsv_ticket ticket = 1;
  fsv_error error;
  EXPECT_EQ(host.begin_load(file.path(), &ticket, &error, with_dtype(FSV_DTYPE_Q5_1 + 1)), FSV_ERROR_UNSUPPORTED);
  EXPECT_NE(std::string_view(error.message).find("load_dtype 9"), std::string_view::npos) << error.message;
  EXPECT_EQ(ticket, 0U);
  EXPECT_EQ(host.begin_load(file.path(), &ticket, &error, [](fsv_load_config& config) { config.flags = 64; }),
            FSV_ERROR_INVALID_ARGUMENT);
}

EditLoad text_only() {
  return [](fsv_load_config& config) { config.flags = FSV_LOAD_TEXT_ONLY; };
}

TEST(TextOnly, TokenisesAndComputesNothing) {
  const TemporaryFile file(TinyShape{});
  Host host(file.path());
  const fsv_memory_stats before = host.memory();
  fsv_model* text = host.load(file.path(), text_only());
  ASSERT_NE(text, nullptr);
  const fsv_memory_stats after = host.memory();
  EXPECT_EQ(after.weight_bytes + after.kv_bytes + after.activation_bytes,
            before.weight_bytes + before.kv_bytes + before.activation_bytes);
  EXPECT_EQ(after.model_count, before.model_count + 1);
  int32_t ids[2][16];
  size_t counts[2] = {};
  ASSERT_EQ(fsv_tokenize(text, "the end", SIZE_MAX, 0, ids[0], 16, &counts[0], nullptr), FSV_OK);
  ASSERT_EQ(fsv_tokenize(host.model(), "the end", SIZE_MAX, 0, ids[1], 16, &counts[1], nullptr), FSV_OK);
  EXPECT_EQ(std::vector(ids[0], ids[0] + counts[0]), std::vector(ids[1], ids[1] + counts[1]));
  EXPECT_EQ(info_of(text).runnable, 0U);
  const std::vector<int32_t> prompt = {3, 4};
  const GenerateSettings generate = Host::generate_config(prompt, 4);
  fsv_request request = 1;
  fsv_error error;
  EXPECT_EQ(fsv_submit_generate(host.engine(), text, &generate, &request, &error), FSV_ERROR_WRONG_STATE);
  EXPECT_EQ(request, 0U);
  EXPECT_EQ(host.score_alone({5, 6, 7}, false).status, FSV_OK);  // the model beside it runs on
}

TEST(TextOnly, AnyArchitectureWillDo) {
  TinyShape shape;
  shape.architecture = "unheard-of";
  const TemporaryFile file(shape);
  Host host;
  fsv_ticket ticket = 0;
  fsv_model* model = nullptr;
  fsv_error error;
  ASSERT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK);
  EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_UNSUPPORTED);
  const fsv_model_info info = info_of(host.load(file.path(), text_only()));
  EXPECT_EQ(std::string_view(info.architecture), "unheard-of");
  EXPECT_EQ(info.vocabulary_size, static_cast<uint32_t>(kTinyVocabulary));
  EXPECT_EQ(info.eos_token_id, kTinyImEnd);
  EXPECT_EQ(info.adds_bos, 0U);
  EXPECT_EQ(info.adds_eos, 0U);
}

TEST(TextOnlyModel, GemmaAddsBosAndSmolLm2DoesNot) {
  const std::string folder = FASTSERVE_MODEL_DIR;
  const std::string gemma = folder + "/gemma-3-270m-q4_k_m.gguf", smollm = folder + "/smollm2-135m-instruct-q4_1.gguf";
  if (std::FILE* file = std::fopen(gemma.c_str(), "rb"); file == nullptr) {
    GTEST_SKIP() << gemma << " is missing; ./dev models fetches it";
  } else {
    std::fclose(file);
  }
  Host host;
  for (const auto& [path, bos, adds_bos] : {std::tuple(gemma, 2, 1U), std::tuple(smollm, 1, 0U)}) {
    fsv_model_info info;
    fsv_model_info_init(&info, sizeof(info));
    ASSERT_EQ(fsv_model_inspect(path.c_str(), path.size(), &info, nullptr), FSV_OK);
    EXPECT_EQ(info.bos_token_id, bos);
    EXPECT_EQ(info.adds_bos, adds_bos);
    EXPECT_EQ(info.adds_eos, 0U);
    EXPECT_EQ(info_of(host.load(path, text_only())).adds_bos, adds_bos);
  }
}

}  // namespace
}  // namespace fastserve::test
