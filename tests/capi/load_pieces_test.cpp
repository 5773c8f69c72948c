// Pumped loads go in small pieces, however large the vocabulary: headers, tokenisers and weights are read a little at a
// time, and a cancel between any two pieces gives everything back.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/host.h"
#include "support/host_files.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

constexpr uint32_t kTokens = 20000, kMerges = 8000;
constexpr uint64_t kPieceBytesMax = uint64_t{1} << 18;  // a buffer of the header's reader

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

// Ten digits, then "t0", "t1" ...
std::string token_of(uint32_t id) { return id < 10 ? std::to_string(id) : "t" + std::to_string(id - 10); }

// Text alone: a vocabulary, with merges of made-up tokens or with scores.
std::vector<uint8_t> vocabulary_gguf(const std::string& model) {
  const bool has_merges = model == "gpt2";
  GgufWriter w;
  w.preamble(3, 0, 5);
  w.key("general.architecture", kGgufString).text("llama");
  w.key("tokenizer.ggml.model", kGgufString).text(model);
  w.array("tokenizer.ggml.tokens", kGgufString, kTokens);
  for (uint32_t i = 0; i < kTokens; ++i) w.text(token_of(i));
  w.array("tokenizer.ggml.token_type", kGgufInt32, kTokens);
  for (uint32_t i = 0; i < kTokens; ++i) w.u32(i % 4 == 0 ? 4 : 1);
  if (has_merges) {
    w.array("tokenizer.ggml.merges", kGgufString, kMerges);
    for (uint32_t i = 10; i < 10 + kMerges; ++i) w.text("t" + std::to_string(i / 10) + " " + std::to_string(i % 10));
  } else {
    w.array("tokenizer.ggml.scores", kGgufFloat32, kTokens);
    for (uint32_t i = 0; i < kTokens; ++i) w.f32(static_cast<float>(i * 7919 % kTokens));
  }
  return w.bytes;
}

struct Source {
  std::string path;
  HostFiles files;
};

void add_gguf(Source& source, const std::string& model) {
  source.path = "model.gguf";
  source.files.files[source.path] = vocabulary_gguf(model);
}

// A folder whose one tensor is an embedding for as many tokens.
void add_folder(Source& source) {
  source.path = "folder/";
  source.files.files["folder/config.json"] =
      bytes_of(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4,"intermediate_size":8,)"
               R"("num_attention_heads":1,"num_hidden_layers":1,"num_key_value_heads":1,"rms_norm_eps":1e-5,)"
               R"("max_position_embeddings":64,"vocab_size":20000,"tie_word_embeddings":true})");
  const std::string header =
      R"({"model.embed_tokens.weight":{"dtype":"BF16","shape":[20000,4],"data_offsets":[0,160000]}})";
  GgufWriter w;
  w.text(header).data(160000);
  source.files.files["folder/model.safetensors"] = w.bytes;
  std::string json = R"({"model":{"type":"BPE","vocab":{)";
  for (uint32_t i = 0; i < kTokens; ++i) json += (i == 0 ? "\"" : ",\"") + token_of(i) + "\":" + std::to_string(i);
  source.files.files["folder/tokenizer.json"] = bytes_of(json + R"(},"merges":[]}})");
}

fsv_ticket begin(Host& host, const Source& source, const fsv_io& io) {
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = source.path.c_str();
  config.path_size = SIZE_MAX;
  config.io = &io;
  config.flags = FSV_LOAD_TEXT_ONLY;
  fsv_ticket ticket = 0;
  fsv_error error{};
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK) << error.message;
  return ticket;
}

// Pumps a load with no time at all, so that each step is a piece. How many there were.
size_t pump_pieces(Source& source) {
  const fsv_io io = source.files.io();
  Host host;
  const fsv_ticket ticket = begin(host, source, io);
  size_t steps = 0;
  for (uint64_t before = 0;; before = source.files.read_bytes, ++steps) {
    const bool more = host.step(0);
    EXPECT_LE(source.files.read_bytes - before, kPieceBytesMax) << "in step " << steps;
    if (!more) break;
  }
  fsv_model* model = nullptr;
  fsv_error error{};
  EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, &error), FSV_OK) << error.message;
  if (model == nullptr) return steps;
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  EXPECT_EQ(fsv_model_get_info(model, &info, nullptr), FSV_OK);
  EXPECT_EQ(info.vocabulary_size, kTokens);
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  return steps;
}

// After each number of pieces up to `count`.
void cancel_after_each(Source& source, size_t count) {
  const fsv_io io = source.files.io();
  source.files.release_count = 0;
  Host host;
  for (size_t steps = 0; steps <= count; ++steps) {
    const fsv_ticket ticket = begin(host, source, io);
    for (size_t i = 0; i < steps; ++i) host.step(0);
    ASSERT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK) << steps;
    while (host.step(0)) {
    }
    ASSERT_EQ(host.memory().used_bytes, 0u) << steps;
    ASSERT_EQ(source.files.open_count, 0) << steps;
    ASSERT_EQ(source.files.release_count, static_cast<int>(steps) + 1);
  }
}

// At least so many pieces of 4096 tokens or merges each: the texts and what is looked up for each of them.
constexpr size_t kPassesMin = 2 * kTokens / 4096;

TEST(LoadPieces, MergesOfALargeVocabulary) {
  Source source;
  add_gguf(source, "gpt2");
  const size_t steps = pump_pieces(source);
  EXPECT_GE(steps, 2 * kPassesMin);
  cancel_after_each(source, steps);
}

TEST(LoadPieces, ScoresOfALargeVocabulary) {
  Source source;
  add_gguf(source, "llama");
  const size_t steps = pump_pieces(source);
  EXPECT_GE(steps, 2 * kPassesMin);
  cancel_after_each(source, steps);
}

TEST(LoadPieces, UnigramsOfALargeVocabulary) {
  Source source;
  add_gguf(source, "t5");
  EXPECT_GE(pump_pieces(source), 2 * kPassesMin);
}

TEST(LoadPieces, TokenizerOfAFolder) {
  Source source;
  add_folder(source);
  const size_t steps = pump_pieces(source);
  EXPECT_GE(steps, 2 * kPassesMin + source.files.files["folder/tokenizer.json"].size() / kPieceBytesMax);
  cancel_after_each(source, steps);
}

// Weights too: a read of at most an eighth of a mebibyte each.
TEST(LoadPieces, Weights) {
  TinyShape shape;
  shape.hidden = 128;
  shape.intermediate = 512;
  Source source;
  source.path = "tiny";
  source.files.files["tiny"] = tiny_gguf(shape);
  const fsv_io io = source.files.io();
  Host host;
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = "tiny";
  config.path_size = SIZE_MAX;
  config.io = &io;
  fsv_ticket ticket = 0;
  ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, nullptr), FSV_OK);
  size_t steps = 0;
  for (uint64_t before = 0; host.step(0); before = source.files.read_bytes, ++steps) {
    ASSERT_LE(source.files.read_bytes - before, kPieceBytesMax) << "in step " << steps;
  }
  fsv_ticket_info info;
  fsv_ticket_info_init(&info, sizeof(info));
  EXPECT_EQ(fsv_ticket_get_info(host.engine(), ticket, &info, nullptr), FSV_OK);
  EXPECT_EQ(info.bytes_done, info.bytes_total);
  EXPECT_GE(steps, info.bytes_total / (uint64_t{1} << 17));
  // What was taken goes in pieces too, when the load is cancelled at its end.
  ASSERT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK);
  EXPECT_EQ(host.memory().used_bytes, 0u);
}

// Weights of about 14 MB.
TinyShape large_shape() {
  TinyShape shape;
  shape.hidden = shape.intermediate = 576;
  shape.heads = 36;
  return shape;
}
const TemporaryFile& large_file() {
  static const TemporaryFile file(large_shape());
  return file;
}

size_t pieces_of_load(Host& host, const std::string& path, uint32_t flags, fsv_model** model) {
  fsv_ticket ticket = 0;
  fsv_error error{};
  EXPECT_EQ(host.begin_load(path, &ticket, &error, [&](fsv_load_config& config) { config.flags = flags; }), FSV_OK);
  size_t pieces = 0;
  while (host.step(0)) ++pieces;
  EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, model, &error), FSV_OK) << error.message;
  return pieces;
}

// Memory goes a piece at a time, with no piece before it is asked for, and before anything that is to come.
TEST(LoadPieces, OfAModelThatIsReleased) {
  const TemporaryFile& file = large_file();
  Host host;
  fsv_model* model = nullptr;
  const size_t pieces = pieces_of_load(host, file.path(), 0, &model);
  const uint64_t used = host.memory().used_bytes, weights = host.memory().weight_bytes;
  ASSERT_GT(weights, uint64_t{12} << 20);
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  EXPECT_EQ(host.memory().used_bytes, used);
  EXPECT_EQ(host.memory().model_count, 0u);
  size_t steps = 0;
  for (uint64_t before = used; host.step(0); before = host.memory().used_bytes, ++steps) {
    ASSERT_LE(host.memory().used_bytes, before);
  }
  EXPECT_GE(steps, weights >> 23);
  EXPECT_EQ(host.memory().used_bytes, 0u);

  // A load that follows finds the budget free, and one that is cancelled at its end goes in the same way.
  EXPECT_EQ(pieces_of_load(host, file.path(), 0, &model), pieces);
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  fsv_ticket ticket = 0;
  fsv_error error{};
  EXPECT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK) << error.message;
  for (size_t i = 0; i < pieces + steps - 4; ++i) ASSERT_TRUE(host.step(0)) << i;
  EXPECT_LE(host.memory().used_bytes, used);
  EXPECT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK);
  while (host.step(0)) {
  }
  EXPECT_EQ(host.memory().used_bytes, 0u);
}

// With the engine, too: nothing waits for steps that never come.
TEST(LoadPieces, OfAModelThatIsReleasedLast) {
  const TemporaryFile& file = large_file();
  for (const bool is_shut_down : {false, true}) {
    Host host;
    fsv_model* model = nullptr;
    (void)pieces_of_load(host, file.path(), 0, &model);
    if (is_shut_down) {
      EXPECT_EQ(fsv_engine_shutdown(host.engine(), 0, nullptr), FSV_OK);
    }
    EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
    EXPECT_EQ(host.memory().used_bytes == 0, is_shut_down);
    if (!is_shut_down) {
      EXPECT_EQ(fsv_engine_shutdown(host.engine(), 0, nullptr), FSV_OK);
    }
    EXPECT_EQ(host.memory().used_bytes, 0u);
  }
}

// A piece for each 2 MiB of activations, one for the KV, then those of a step.
TEST(LoadPieces, OfAWarmUp) {
  const TemporaryFile& file = large_file();
  Host host([](fsv_engine_config& config) { config.max_batch_tokens = 512; });
  fsv_model* model = nullptr;
  const size_t cold = pieces_of_load(host, file.path(), 0, &model);
  const uint64_t activation_bytes = host.memory().activation_bytes;
  ASSERT_GT(activation_bytes, uint64_t{4} << 20);
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  while (host.step(0)) {
  }
  const size_t warm = pieces_of_load(host, file.path(), FSV_LOAD_WARM_UP, &model);
  const uint64_t touched = (activation_bytes + (1 << 21) - 1) >> 21;
  EXPECT_EQ(warm - cold, touched + 1 + 1 + large_shape().layers + 1);
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
}

}  // namespace
}  // namespace fastserve::test
