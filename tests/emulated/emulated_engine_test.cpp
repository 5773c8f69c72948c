// Whole models by the device's own kernels, on the emulator: prompts get the CPU's logits, and answers are given. What
// differs is the order of float additions, and activations at the border of two int8 or bf16 values that fall to the
// other side.
#include <algorithm>
#include <cmath>

#include "device/fake.h"

namespace fastserve::test {
namespace {

class EmulatedEngine : public OnFakeDevice {};

TinyShape shape_of(uint32_t type, const std::string& architecture = "llama") {
  TinyShape shape;
  shape.type = type;
  shape.architecture = architecture;
  shape.window = architecture == "gemma3" ? 24 : 0;
  shape.layers = architecture == "gemma3" ? 7 : 2;
  return shape;
}

// Log-probabilities of a prompt's tokens, as the CPU has them; and an answer of so many tokens.
void expect_cpus(const TinyShape& shape, const EditEngine& edit, float tolerance) {
  const TemporaryFile file{shape};
  Host cpu(file.path(), edit), device(file.path(), on_device(edit));
  const auto ask = [](Host& host) {
    const fsv_request scored = host.score(random_prompt(11, 40), false);
    const fsv_request answered = host.generate(random_prompt(5, 20), 6);
    host.run();
    return std::vector<Reply>{host.reply(scored), host.reply(answered)};
  };
  const std::vector<Reply> expected = ask(cpu), got = ask(device);
  for (const Reply& reply : got) ASSERT_EQ(reply.status, FSV_OK) << reply.message;
  ASSERT_EQ(got[0].logprobs.size(), expected[0].logprobs.size());
  for (size_t i = 0; i < got[0].logprobs.size(); ++i) {
    const float bound = tolerance * (1 + std::fabs(expected[0].logprobs[i]));
    EXPECT_NEAR(got[0].logprobs[i], expected[0].logprobs[i], bound) << "token " << i;
  }
  EXPECT_EQ(got[1].ids.size(), expected[1].ids.size());
  EXPECT_GT(fake_device().kernels, 0);  // on the device
}

TEST_F(EmulatedEngine, ScoresAsTheCpu) { expect_cpus(shape_of(kTinyQ8_0), nullptr, 2e-2f); }

// The same logits, drawn from by the device's kernel and, since log-probabilities are asked for, by the CPU's sampler.
TEST_F(EmulatedEngine, DrawsTheTokensThatTheCpuDrawsFromItsLogits) {
  const TemporaryFile file{shape_of(kTinyQ8_0)};
  Host device(file.path(), on_device());
  auto ask = [&](uint32_t reports_logprobs) {
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 6; ++i) {
      requests.push_back(device.generate(random_prompt(i, 5), 5, [&](GenerateSettings& config) {
        config.report_logprobs = reports_logprobs;
        config.draw.temperature = i == 0 ? 0.0F : 0.7F + 0.1F * static_cast<float>(i);
        config.draw.seed = i;
        config.draw.top_k = i % 2 == 0 ? 20 : 0;
        config.draw.top_p = i % 3 == 0 ? 0.8F : 1.0F;
        config.draw.min_p = i == 5 ? 0.1F : 0.0F;
      }));
    }
    device.run();
    std::vector<std::vector<int32_t>> tokens;
    for (const fsv_request request : requests) tokens.push_back(device.reply(request).ids);
    return tokens;
  };
  const std::vector<std::vector<int32_t>> drawn_by_cpu = ask(1);
  const int64_t bytes_down = fake_device().bytes_down;
  EXPECT_EQ(ask(0), drawn_by_cpu);
  EXPECT_LE(fake_device().bytes_down - bytes_down, 6 * 5 * 8 * 4);  // tokens alone, with those behind guesses
}

class EmulatedEngineSlow : public EmulatedEngine {};

TEST_F(EmulatedEngineSlow, EveryWeightType) {
  for (const uint32_t type : {kTinyF32, kTinyQ4_0, kTinyQ4_1, kTinyBf16}) {
    SCOPED_TRACE(type);
    expect_cpus(shape_of(type), nullptr, type == kTinyF32 ? 1e-3f : 2e-2f);
  }
}

TEST_F(EmulatedEngineSlow, WindowsAndNormsAroundBlocksToo) {
  expect_cpus(shape_of(kTinyQ8_0, "gemma3"), nullptr, 2e-2f);
}

TEST_F(EmulatedEngineSlow, EveryKvType) {
  for (const uint32_t kv : {FSV_KV_F32, FSV_KV_BF16, FSV_KV_Q8}) {
    SCOPED_TRACE(kv);
    const float tolerance = kv == FSV_KV_BF16 ? 6e-2f : 2e-2f;  // q and the weights of the softmax are bf16 too
    expect_cpus(shape_of(kTinyQ8_0), [kv](fsv_engine_config& config) { config.kv_dtype = kv; }, tolerance);
  }
}

}  // namespace
}  // namespace fastserve::test
