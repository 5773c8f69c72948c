// Tokens drawn on the device are the CPU sampler's: over the fake device bit for bit, whoever shares the step. What
// comes down for them is their number; logits come down for those alone who need them.
#include <limits>

#include "device/fake.h"

namespace fastserve::test {
namespace {

class DeviceDraws : public OnFakeDevice {
 protected:
  static TinyShape shape() {
    TinyShape shape;
    shape.type = kTinyQ8_0;
    return shape;
  }
  static const TemporaryFile& model_file() {
    static const TemporaryFile file{shape()};
    return file;
  }
};

void draw_on_device(GenerateSettings& config) { config.report_logprobs = 0; }

// What a device knows of samplers; `kind` below this many is drawn there, the others on the CPU.
constexpr int kDeviceKinds = 8, kKinds = 19;
void set_kind(GenerateSettings& config, int kind) {
  static const fsv_logit_bias bias{40, 3.0F};
  static const uint32_t order[] = {FSV_STAGE_TEMPERATURE, FSV_STAGE_TOP_K, FSV_STAGE_TOP_P};
  draw_on_device(config);
  fsv_sampling& draw = config.draw;
  draw.temperature = 0.9F;
  draw.seed = 100 + static_cast<uint64_t>(kind);
  switch (kind) {
    case 0:
      draw.temperature = 0;
      break;
    case 1:
      break;
    case 2:
      draw.top_k = 7;
      break;
    case 3:
      draw.top_p = 0.6F;
      break;
    case 4:
      draw.min_p = 0.2F;
      break;
    case 5:
      draw.top_k = 30, draw.top_p = 0.8F, draw.min_p = 0.05F, draw.stream = 3;
      break;
    case 6:
      config.min_tokens = 12, config.ignore_eos = 0;
      break;
    case 7:
      config.choice_count = 3;
      break;
    case 8:
      config.report_logprobs = 1;
      break;
    case 9:
      config.logprob_count = 2;
      break;
    case 10:
      draw.logit_bias = &bias, draw.logit_bias_count = 1;
      break;
    case 11:
      draw.repetition_penalty = 1.3F;
      break;
    case 12:
      draw.dry_multiplier = 0.8F;
      break;
    case 13:
      draw.typical_p = 0.7F;
      break;
    case 14:
      draw.xtc_probability = 0.5F, draw.xtc_threshold = 0.05F;
      break;
    case 15:
      draw.mirostat = 2;
      break;
    case 16:
      draw.dynamic_temperature_range = 0.5F;
      break;
    case 17:
      draw.top_n_sigma = 1;
      break;
    default:
      draw.stages = order, draw.stage_count = 3, draw.top_k = 9;
      break;
  }
}

std::vector<Reply> ask(Host& host, int kind_begin, int kind_end) {
  std::vector<fsv_request> requests;
  for (int kind = kind_begin; kind < kind_end; ++kind) {
    requests.push_back(host.generate(random_prompt(static_cast<uint32_t>(kind), 12), 24,
                                     [&](GenerateSettings& config) { set_kind(config, kind); }));
  }
  host.run();
  std::vector<Reply> replies;
  for (const fsv_request request : requests) replies.push_back(host.reply(request));
  return replies;
}

TEST_F(DeviceDraws, EverySamplerDrawsTheCpusTokensWhoeverSharesTheStep) {
  auto wide = [](fsv_engine_config& config) { config.max_sequences = 24; };
  Host cpu(model_file().path(), wide), device(model_file().path(), on_device(wide));
  const std::vector<Reply> expected = ask(cpu, 0, kKinds);
  const std::vector<Reply> together = ask(device, 0, kKinds);
  for (int kind = 0; kind < kKinds; ++kind) {
    const std::string what = "kind " + std::to_string(kind);
    const auto i = static_cast<size_t>(kind);
    expect_same(together[i], expected[i], what + " together");
    ASSERT_EQ(together[i].choices.size(), expected[i].choices.size());
    for (size_t c = 0; c < expected[i].choices.size(); ++c) {
      EXPECT_EQ(together[i].choices[c].ids, expected[i].choices[c].ids) << what;
    }
    const int64_t draws = fake_device().draws;
    expect_same(ask(device, kind, kind + 1)[0], expected[i], what + " alone");
    EXPECT_EQ(fake_device().draws > draws, kind < kDeviceKinds) << what;
  }
}

TEST_F(DeviceDraws, GuessedTokensAndGrantsChangeNothing) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < 12; ++i) prompt.insert(prompt.end(), {10, 20, 30, 40});  // guesses are made from it
  for (const float temperature : {0.0F, 0.5F}) {
    auto settings = [&](GenerateSettings& config) {
      draw_on_device(config);
      config.draw.temperature = temperature;
    };
    Host cpu(model_file().path()), device(model_file().path(), on_device());
    const Reply expected = cpu.generate_alone(prompt, 60, settings);
    expect_same(device.generate_alone(prompt, 60, settings), expected, "guesses");
    const fsv_request request = device.generate(prompt, 60, settings);
    for (uint64_t grant_us = 1; !device.all_finished(); grant_us = grant_us % 300 + 41) {
      device.step(grant_us);
      device.poll();
    }
    expect_same(device.reply(request), expected, "grants");
  }
}

// Chunks of the head hold at most 64 rows: here are more, of both kinds in turn.
TEST_F(DeviceDraws, MoreRowsThanOneChunkHolds) {
  auto wide = [](fsv_engine_config& config) {
    config.max_sequences = 70;
    config.context_tokens = 64;
  };
  Host cpu(model_file().path(), wide), device(model_file().path(), on_device(wide));
  std::vector<std::vector<Reply>> replies;
  for (Host* host : {&cpu, &device}) {
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 70; ++i) {
      requests.push_back(host->generate(random_prompt(i, 4), 10, [&](GenerateSettings& config) {
        config.report_logprobs = i % 3 == 0 ? 1 : 0;
        config.draw.temperature = 1;
        config.draw.seed = i;
      }));
    }
    host->run();
    replies.emplace_back();
    for (const fsv_request request : requests) replies.back().push_back(host->reply(request));
  }
  for (size_t i = 0; i < 70; ++i) expect_same(replies[1][i], replies[0][i], "request " + std::to_string(i));
}

TEST_F(DeviceDraws, LogitsStayOnTheDevice) {
  Host device(model_file().path(), on_device());
  auto bytes_of = [&](const EditGenerate& edit) {
    const int64_t before = fake_device().bytes_down;
    EXPECT_EQ(device.generate_alone(random_prompt(1, 10), 30, edit).ids.size(), 30U);
    return fake_device().bytes_down - before;
  };
  constexpr int64_t kRowBytes = int64_t{kTinyVocabulary} * 4;
  const int64_t drawn = bytes_of([](GenerateSettings& config) {
    draw_on_device(config);
    config.speculation = FSV_SPECULATION_OFF;
  });
  EXPECT_EQ(drawn, 30 * 4);
  EXPECT_GE(bytes_of([](GenerateSettings& config) { config.report_logprobs = 1; }), 30 * kRowBytes);
}

TEST_F(DeviceDraws, LogitsThatAreNotFiniteEndTheRequestAlone) {
  TinyShape untied = shape();
  untied.tied = false;
  const TemporaryFile file(tiny_gguf(untied, [](std::vector<TinyTensor>& tensors) {
    for (TinyTensor& tensor : tensors) {
      if (tensor.name != "token_embd.weight") continue;
      const uint16_t bad = 0x7E00;  // the scale of the first block of row 200
      const size_t row_bytes = tensor.bytes.size() / kTinyVocabulary;
      std::memcpy(tensor.bytes.data() + 200 * row_bytes, &bad, sizeof bad);
    }
  }));
  Host device(file.path(), on_device());
  const fsv_request well = device.generate(random_prompt(1, 5, 3, 100), 1, draw_on_device);
  const fsv_request damaged = device.generate({200, 5}, 4, draw_on_device);
  device.run();
  const Reply reply = device.reply(damaged);
  EXPECT_EQ(reply.status, FSV_ERROR_CORRUPT);
  EXPECT_NE(reply.message.find("the logits of \"tiny\" after 2 tokens are not finite"), std::string::npos)
      << reply.message;
  EXPECT_TRUE(reply.ids.empty());
  EXPECT_EQ(device.reply(well).ids.size(), 1U);
}

TEST_F(DeviceDraws, WithoutAKernelTheCpuDraws) {
  fake_device().lacks_sampling = true;
  Host cpu(model_file().path()), device(model_file().path(), on_device());
  const int64_t draws = fake_device().draws;
  expect_same(ask(device, 5, 6)[0], ask(cpu, 5, 6)[0], "drawn on the CPU");
  EXPECT_EQ(fake_device().draws, draws);
}

}  // namespace
}  // namespace fastserve::test
