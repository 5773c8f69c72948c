// What a step asks of the device: nothing is allocated in a steady decode, logits come down for rows that sample alone,
// and recorded graphs serve every step of their bucket.
#include "device/fake.h"
#include "engine/device_step.h"

namespace fastserve::test {
namespace {

class DeviceSteps : public OnFakeDevice {
 protected:
  static const TemporaryFile& model_file() {
    static const TemporaryFile file{TinyShape{}};
    return file;
  }
};

BatchView decode_view(int32_t rows, int32_t keys) {
  BatchView view;
  view.row_count = view.sequence_count = rows;
  view.key_count_max = keys;
  view.sequence_rows_max = 1;
  return view;
}

TEST(StepBucket, SizesAreRoundedUp) {
  auto rows_of = [](int32_t rows) { return StepBucket::of(decode_view(rows, 10), 64, 64, 4096).rows; };
  EXPECT_EQ(rows_of(1), 1);
  EXPECT_EQ(rows_of(2), 2);
  EXPECT_EQ(rows_of(3), 4);
  EXPECT_EQ(rows_of(33), 64);
  EXPECT_EQ(rows_of(65), 0) << "kernels are long there";
  auto keys_of = [](int32_t keys) { return StepBucket::of(decode_view(2, keys), 64, 64, 3000).keys; };
  EXPECT_EQ(keys_of(1), 512);
  EXPECT_EQ(keys_of(513), 1024);
  EXPECT_EQ(keys_of(2500), 3000) << "no sequence is longer than the context";
  const StepBucket tight = StepBucket::of(decode_view(5, 10), 7, 6, 4096);
  EXPECT_EQ(tight.rows, 7) << "there is room for no more";
  EXPECT_EQ(tight.sequences, 6);
  EXPECT_EQ(tight.sequence_rows, 1);
  BatchView drafted = decode_view(12, 10);
  drafted.sequence_count = 3;
  drafted.sequence_rows_max = 5;
  EXPECT_EQ(StepBucket::of(drafted, 64, 64, 4096), (StepBucket{16, 4, 8, 512}));
  drafted.sequence_rows_max = 9;
  EXPECT_EQ(StepBucket::of(drafted, 64, 64, 4096).rows, 0) << "a prompt";
}

TEST_F(DeviceSteps, ASteadyDecodeAllocatesNothing) {
  Host host(model_file().path(), on_device());
  auto plain = [](GenerateSettings& config) {
    config.speculation = FSV_SPECULATION_OFF;
    config.report_logprobs = 0;
  };
  for (uint32_t i = 0; i < 3; ++i) host.generate(random_prompt(i, 10), 200, plain);
  for (int i = 0; i < 20; ++i) host.step(0), host.poll();
  const FakeDeviceControl& fake = fake_device();
  const int64_t allocations = fake.allocations, host_allocations = fake.host_allocations,
                recorded = fake.graphs_recorded;
  const int64_t launched = fake.graphs_launched, kernels = fake.kernels, down = fake.copies_down;
  constexpr int kSteps = 100;
  for (int i = 0; i < kSteps; ++i) host.step(0), host.poll();
  EXPECT_EQ(fake.allocations, allocations);
  EXPECT_EQ(fake.host_allocations, host_allocations);
  EXPECT_EQ(fake.graphs_recorded, recorded);
  EXPECT_GT(fake.graphs_launched - launched, kSteps / 4);
  // What is not in the graph: the embedding and its angles, the rows to sample, the head and the draw.
  EXPECT_LE(fake.kernels - kernels, 5 * (fake.graphs_launched - launched + 2));
  EXPECT_LE(fake.copies_down - down, fake.graphs_launched - launched + 2);
  host.run();
}

TEST_F(DeviceSteps, LogitsComeDownForRowsThatSampleAlone) {
  Host host(model_file().path(), on_device([](fsv_engine_config& config) { config.prefill_chunk_tokens = 16; }));
  const int64_t before = fake_device().copies_down;
  host.generate_alone(random_prompt(1, 80), 1);  // five chunks, of which one row is wanted
  EXPECT_EQ(fake_device().copies_down - before, 1);
}

TEST_F(DeviceSteps, ADeviceThatRecordsNothingSaysTheSame) {
  auto ask = [](Host& host) {
    std::vector<Reply> replies;
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 3; ++i) requests.push_back(host.generate(random_prompt(i, 10 + i), 30 + 10 * i));
    host.run();
    for (const fsv_request request : requests) replies.push_back(host.reply(request));
    return replies;
  };
  Host with(model_file().path(), on_device());
  const std::vector<Reply> expected = ask(with);
  EXPECT_GT(fake_device().graphs_live, 0);
  const int64_t launched = fake_device().graphs_launched;
  fake_device().refuses_graphs = true;
  Host without(model_file().path(), on_device());
  const std::vector<Reply> got = ask(without);
  EXPECT_EQ(fake_device().graphs_launched, launched);
  for (size_t i = 0; i < got.size(); ++i) expect_same(got[i], expected[i], "without graphs");
}

// Batches of every size up to the largest bucket, in a context that passes key buckets.
TEST_F(DeviceSteps, EveryBucketSaysWhatTheCpuSays) {
  auto wide = [](fsv_engine_config& config) {
    config.max_sequences = 11;
    config.context_tokens = 1600;
    config.max_batch_tokens = 64;
  };
  Host cpu(model_file().path(), wide), device(model_file().path(), on_device(wide));
  std::vector<fsv_request> at_cpu, at_device;
  for (uint32_t i = 0; i < 11; ++i) {
    const std::vector<int32_t> prompt = random_prompt(i, i == 4 ? 1000 : 20 + i);
    at_cpu.push_back(cpu.generate(prompt, 10 + 5 * i));
    at_device.push_back(device.generate(prompt, 10 + 5 * i));
  }
  cpu.run();
  device.run();
  for (size_t i = 0; i < at_cpu.size(); ++i) {
    expect_same(device.reply(at_device[i]), cpu.reply(at_cpu[i]), "request " + std::to_string(i));
  }
}

TEST_F(DeviceSteps, PagesServeAsSlabsDo) {
  Host slabs(model_file().path(), on_device());
  const Reply expected = slabs.generate_alone(random_prompt(1, 40), 20);
  fake_device().has_pages = true;
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host pages(model_file().path(), on_device([mode](fsv_engine_config& config) { config.mode = mode; }));
    EXPECT_GT(fake_device().pages_live, 0);
    expect_same(pages.generate_alone(random_prompt(1, 40), 20), expected, "pages");
  }
}

}  // namespace
}  // namespace fastserve::test
