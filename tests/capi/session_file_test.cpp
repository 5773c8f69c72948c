// Sessions written and read back: nothing of a conversation is lost, nothing damaged or foreign is taken for one.
#include <gtest/gtest.h>

#include "support/host_files.h"
#include "support/session.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

struct Case {
  const char* architecture;
  uint32_t kv_dtype;
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const char* types[] = {"F16", "F32", "BF16", "Q8"};
  return std::string(info.param.architecture) + types[info.param.kv_dtype];
}

// Gemma's layers with a window have dropped the beginning of what the tests say.
TinyShape shape_of(const std::string& architecture) {
  TinyShape shape;
  shape.architecture = architecture;
  if (architecture == "llama") return shape;
  shape.layers = 6;
  shape.hidden = shape.intermediate = 32;
  shape.heads = 2;
  shape.kv_heads = 1;
  shape.window = 48;
  return shape;
}

const TemporaryFile& model_file(const std::string& architecture = "llama") {
  static const TemporaryFile llama{shape_of("llama")}, gemma{shape_of("gemma3")};
  return architecture == "llama" ? llama : gemma;
}

void draw(GenerateSettings& config) {
  config.draw.temperature = 0.9F;
  config.draw.top_p = 0.95F;
  config.draw.seed = 77;
}

class SessionFile : public testing::TestWithParam<Case> {
 protected:
  static const std::string& path() { return model_file(GetParam().architecture).path(); }
  static EditEngine edit(const TemporaryFolder& folder, bool is_threaded) {
    return [&folder, is_threaded](fsv_engine_config& config) {
      config.mode = is_threaded ? FSV_MODE_THREADED : FSV_MODE_PUMPED;
      config.thread_count = is_threaded ? 2 : 1;
      config.kv_dtype = GetParam().kv_dtype;
      config.write_folder = folder.path().c_str();
      config.write_folder_size = SIZE_MAX;
    };
  }
};

TEST_P(SessionFile, GoesOnInAnotherEngineAsIfNothingHadBeen) {
  const TemporaryFolder folder;
  const std::vector<int32_t> next = random_prompt(3, 20);
  std::vector<std::vector<int32_t>> texts;
  Reply greedy, drawn;
  fsv_session_info info;
  {
    Host host(path(), edit(folder, false));
    TestSession session(host);
    for (uint32_t turn = 0; turn < 3; ++turn) {
      texts.push_back(session.tokens());
      std::vector<int32_t> prompt = random_prompt(turn, 80);
      if (turn == 2) prompt.insert(prompt.begin(), texts[1].begin(), texts[1].begin() + 50);
      const uint32_t mode = turn == 2 ? FSV_SESSION_REPLACE : FSV_SESSION_APPEND;
      (void)session.turn(prompt, 15, mode);
    }
    texts.push_back(session.tokens());
    info = session.info();
    ASSERT_EQ(session.save("slot 1"), FSV_OK) << session.error().message;
    EXPECT_EQ(session.info().cached_token_count, info.cached_token_count);
    greedy = session.turn(next, 20);
    EXPECT_EQ(session.undo(), FSV_OK);
    drawn = session.turn(next, 20, FSV_SESSION_APPEND, draw);
    EXPECT_GT(bytes_of_file(folder.path_of("slot 1")).size(), 1000u);
  }
  Host host(path(), edit(folder, true));
  const std::string file = folder.path_of("slot 1");
  for (const bool is_drawn : {false, true}) {
    fsv_session* handle = nullptr;
    fsv_error error{};
    ASSERT_EQ(fsv_session_load(host.engine(), host.model(), file.c_str(), file.size(), &handle, &error), FSV_OK)
        << error.message;
    TestSession session(host, handle);
    EXPECT_EQ(session.info().cached_token_count, info.cached_token_count);
    EXPECT_EQ(session.info().kv_bytes, info.kv_bytes);
    EXPECT_EQ(session.info().turn_count, 3u);
    EXPECT_EQ(session.tokens(), texts[3]);
    const Reply reply = session.turn(next, 20, FSV_SESSION_APPEND, is_drawn ? draw : EditGenerate());
    EXPECT_EQ(reply.cached_count, greedy.cached_count);
    EXPECT_GT(reply.cached_count, 140u);
    expect_same(reply, is_drawn ? drawn : greedy, is_drawn ? "drawn" : "greedy");
    for (size_t turn = 4; turn-- > 0;) {
      EXPECT_EQ(session.undo(), FSV_OK);
      EXPECT_EQ(session.tokens(), texts[turn]);
    }
    EXPECT_EQ(session.undo(), FSV_ERROR_WRONG_STATE);
  }
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
  EXPECT_EQ(folder.names(), std::set<std::string>{"slot 1"});
}

// What lies in a block beside the session's own tokens is another's, and does not leave the engine.
TEST_P(SessionFile, HoldsNothingOfOthers) {
  const TemporaryFolder folder;
  std::vector<uint8_t> bytes[3];
  for (int round = 0; round < 3; ++round) {
    Host host(path(), edit(folder, false));
    if (round == 1) {
      for (uint32_t i = 0; i < 6; ++i) host.generate(random_prompt(50 + i, 90), 300);
      host.run();
    }
    TestSession session(host);
    (void)session.turn(random_prompt(1, 75), 10);
    if (round < 2) {
      bytes[round] = session.exported();
      continue;
    }
    // A fork shares its blocks with whoever goes on.
    TestSession fork(session, SIZE_MAX);
    (void)session.turn(random_prompt(2, 60), 10);
    bytes[2] = fork.exported();
  }
  EXPECT_FALSE(bytes[0].empty());
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_EQ(bytes[0].size(), bytes[2].size());
  EXPECT_EQ(bytes[0], bytes[2]);
}

INSTANTIATE_TEST_SUITE_P(All, SessionFile,
                         testing::Values(Case{"llama", FSV_KV_F16}, Case{"llama", FSV_KV_F32},
                                         Case{"llama", FSV_KV_BF16}, Case{"llama", FSV_KV_Q8},
                                         Case{"gemma3", FSV_KV_F16}, Case{"gemma3", FSV_KV_F32},
                                         Case{"gemma3", FSV_KV_BF16}, Case{"gemma3", FSV_KV_Q8}),
                         name_of);

fsv_status import(Host& host, const std::vector<uint8_t>& bytes, fsv_error* error, size_t size = SIZE_MAX) {
  fsv_session* session = nullptr;
  const size_t given = std::min(size, bytes.size());
  const fsv_status status = fsv_session_import(host.engine(), host.model(), bytes.data(), given, &session, error);
  EXPECT_EQ(session != nullptr, status == FSV_OK);
  if (session != nullptr) (void)fsv_session_release(session, nullptr);
  return status;
}

TEST(SessionDamage, EveryCutAndEveryBit) {
  TinyShape shape;
  shape.layers = 1;
  shape.hidden = shape.intermediate = 32;
  shape.heads = 2;
  shape.kv_heads = 1;
  const TemporaryFile file(shape);
  Host host(file.path());
  std::vector<uint8_t> bytes;
  {
    TestSession session(host);
    (void)session.turn(random_prompt(1, 12), 5);
    (void)session.turn(random_prompt(2, 4), 0, FSV_SESSION_REPLACE);
    (void)session.turn(random_prompt(3, 9), 6);
    bytes = session.exported();
  }
  ASSERT_GT(bytes.size(), 1000u);
  const uint64_t used = host.memory().used_bytes;
  fsv_error error{};
  EXPECT_EQ(import(host, bytes, &error), FSV_OK) << error.message;
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_EQ(import(host, bytes, &error, size), FSV_ERROR_CORRUPT) << size;
    ASSERT_GT(error.message_size, 0u);
  }
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const fsv_status status = import(host, bytes, &error);
    const bool is_version = bit / 8 >= 8 && bit / 8 < 12;
    ASSERT_EQ(status, is_version ? FSV_ERROR_UNSUPPORTED : FSV_ERROR_CORRUPT) << "bit " << bit << ": " << error.message;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  bytes.push_back(0);
  EXPECT_EQ(import(host, bytes, &error), FSV_ERROR_CORRUPT) << error.message;
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
  EXPECT_EQ(host.memory().session_count, 0u);
  EXPECT_EQ(host.memory().used_bytes, used);
}

TEST(SessionImport, AnotherModelIsRefused) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(1, 40), 5);
  const std::vector<uint8_t> bytes = session.exported();
  const TinyShape shape = shape_of("llama");
  // The same shapes and names, but for a weight here and there: what training does.
  const TemporaryFile tuned(tiny_gguf(shape, [](std::vector<TinyTensor>& tensors) {
    for (TinyTensor& tensor : tensors) {
      if (tensor.name == "blk.1.attn_v.weight") tensor.bytes[2] ^= 1;
    }
  }));
  const TemporaryFile same(shape);
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    auto edit = [mode](fsv_engine_config& config) { config.mode = mode; };
    fsv_error error{};
    Host other(tuned.path(), edit), equal(same.path(), edit), gemma(model_file("gemma3").path(), edit);
    EXPECT_EQ(import(equal, bytes, &error), FSV_OK) << error.message;
    EXPECT_EQ(import(other, bytes, &error), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.message).find("another model: to \"tiny\""), std::string::npos) << error.message;
    EXPECT_EQ(import(gemma, bytes, &error), FSV_ERROR_INVALID_ARGUMENT);
    // The same weights that compute otherwise, and such that only call themselves otherwise.
    for (const TinyKey& key : {TinyKey{"llama.rope.dimension_count", kGgufUint32, 8, ""},
                               TinyKey{"llama.rope.scaling.factor", kGgufFloat32, 0x40000000, ""},
                               TinyKey{"llama.attention.scale", kGgufFloat32, 0x3F000000, ""},
                               TinyKey{"general.description", kGgufString, 0, "other"}}) {
      TinyShape changed = shape;
      changed.keys.push_back(key);
      const TemporaryFile changed_file(changed);
      Host changed_host(changed_file.path(), edit);
      const bool is_other = !key.name.starts_with("general.");
      EXPECT_EQ(import(changed_host, bytes, &error), is_other ? FSV_ERROR_INVALID_ARGUMENT : FSV_OK) << key.name;
    }
    // Weights of another type give other keys.
    Host converted(same.path(), edit, [](fsv_load_config& config) { config.load_dtype = FSV_DTYPE_Q8_0; });
    EXPECT_EQ(import(converted, bytes, &error), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(other.memory().session_count, 0u);
  }
}

TEST(SessionImport, ATextBeyondTheContextIsRefused) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(1, 100), 5);
  const std::vector<uint8_t> bytes = session.exported();
  for (const uint32_t context : {103u, 104u}) {
    Host other(model_file().path(), [&](fsv_engine_config& config) { config.context_tokens = context; });
    fsv_error error{};
    EXPECT_EQ(import(other, bytes, &error), context == 103 ? FSV_ERROR_CONTEXT_TOO_LONG : FSV_OK);
    if (context == 103) {
      EXPECT_NE(std::string(error.message).find("105 tokens, the context holds 103"), std::string::npos);
    }
  }
  // An answer that ended because the context was full can be kept, though nothing can follow it.
  Host full(model_file().path(), [&](fsv_engine_config& config) { config.context_tokens = 104; });
  TestSession last(full);
  (void)last.turn(random_prompt(2, 104), 1);
  EXPECT_EQ(last.tokens().size(), 105u);
  EXPECT_EQ(TestSession::imported(full, last.exported())->tokens(), last.tokens());
}

TEST(SessionImport, KvOfAnotherTypeIsLeftOut) {
  Host host(model_file().path()), other(model_file().path(), [](fsv_engine_config& c) { c.kv_dtype = FSV_KV_F32; });
  TestSession session(host);
  (void)session.turn(random_prompt(1, 100), 5);
  for (const uint32_t flags : {0u, uint32_t{FSV_SESSION_TEXT_ONLY}}) {
    Host& target = flags == 0 ? other : host;
    const std::vector<uint8_t> bytes = session.exported(flags);
    EXPECT_EQ(bytes.size() < 2000, flags != 0);
    const auto imported = TestSession::imported(target, bytes);
    EXPECT_EQ(imported->info().cached_token_count, 0u);
    EXPECT_EQ(imported->info().turn_count, 1u);
    const std::vector<int32_t> next = random_prompt(2, 5);
    expect_same(imported->turn(next, 8), target.generate_alone(joined(session.tokens(), next), 8), "computed again");
  }
}

// A pool of one whole text: `kv_bytes` for the context.
EditEngine small_pool(uint32_t mode) {
  return [mode](fsv_engine_config& config) {
    config.mode = mode;
    config.context_tokens = 160;
    config.max_batch_tokens = 32;
    config.max_sequences = 4;
    config.kv_bytes = 160 * 2 * 2 * 2 * 16 * 2;  // tokens, layers, K and V, heads, dimensions, bytes
  };
}

TEST(SessionImport, TakesRoomFromIdleSessionsNotFromRequests) {
  Host host(model_file().path(), small_pool(FSV_MODE_PUMPED));
  TestSession first(host);
  (void)first.turn(random_prompt(1, 70), 5);
  const std::vector<uint8_t> bytes = first.exported();
  TestSession second(host);
  (void)second.turn(random_prompt(2, 70), 5);
  EXPECT_EQ(first.info().cached_token_count, 74u);
  // The one that was used longest ago gives way.
  const auto third = TestSession::imported(host, bytes);
  EXPECT_EQ(third->info().cached_token_count, 74u);
  EXPECT_EQ(first.info().cached_token_count, 0u);
  EXPECT_EQ(second.info().cached_token_count, 74u);
  // What requests that run were promised is not to be had.
  const fsv_request running = host.generate(random_prompt(3, 10), 140);
  host.step(0);
  EXPECT_EQ(third->info().cached_token_count + second.info().cached_token_count, 0u);
  const auto fourth = TestSession::imported(host, bytes);
  EXPECT_EQ(fourth->info().cached_token_count, 0u);
  host.run();
  EXPECT_EQ(host.reply(running).ids.size(), 140u);
  const std::vector<int32_t> next = random_prompt(4, 3);
  expect_same(fourth->turn(next, 5), host.generate_alone(joined(first.tokens(), next), 5), "without its KV");
}

// Calls `act` before the first piece is taken.
struct Slow {
  std::function<void()> act;
  fsv_status result = FSV_OK;
  int pieces = 0, failing_piece = -1;
  static fsv_status write(void* self, const void*, size_t, uint64_t) {
    auto& slow = *static_cast<Slow*>(self);
    if (slow.pieces++ == 0 && slow.act) slow.act();
    return slow.pieces - 1 == slow.failing_piece ? slow.result : fsv_status{FSV_OK};
  }
};

TEST(SessionExport, ItIsBusyMeanwhileAndOthersGoOn) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host host(model_file().path(), small_pool(mode));
    TestSession session(host);
    (void)session.turn(random_prompt(1, 90), 5);
    const std::vector<int32_t> text = session.tokens();
    fsv_request small = 0, large = 0;
    fsv_error error{};
    Slow slow;
    slow.act = [&] {
      EXPECT_EQ(session.info().busy, 1u);
      EXPECT_EQ(session.tokens(), text);
      EXPECT_EQ(session.undo(), FSV_ERROR_WRONG_STATE);
      EXPECT_EQ(fsv_session_export(session.handle(), 0, Slow::write, &slow, &error), FSV_ERROR_WRONG_STATE);
      EXPECT_NE(std::string(error.message).find("saved"), std::string::npos);
      // One request fits beside the session's KV; one does not, and waits for it.
      small = host.generate(random_prompt(2, 20), 10);
      host.run();
      EXPECT_EQ(host.reply(small).ids.size(), 10u);
      large = host.generate(random_prompt(3, 20), 120);
      for (int i = 0; i < 20; ++i) {
        if (mode == FSV_MODE_PUMPED) host.step(0);
        if (mode == FSV_MODE_THREADED) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        host.poll();
      }
      EXPECT_TRUE(host.reply(large).ids.empty());
    };
    EXPECT_EQ(fsv_session_export(session.handle(), 0, Slow::write, &slow, &error), FSV_OK) << error.message;
    EXPECT_EQ(session.info().busy, 0u);
    host.run();
    EXPECT_EQ(host.reply(large).ids.size(), 120u);
    EXPECT_EQ(session.tokens(), text);
  }
}

TEST(SessionExport, ReleasedMeanwhile) {
  Host host(model_file().path());
  auto session = std::make_unique<TestSession>(host);
  (void)session->turn(random_prompt(1, 90), 5);
  Slow slow;
  slow.act = [&] { session->release(); };
  EXPECT_EQ(fsv_session_export(session->handle(), 0, Slow::write, &slow, nullptr), FSV_OK);
  EXPECT_GT(slow.pieces, 3);
  EXPECT_EQ(host.memory().session_count, 0u);
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
}

TEST(SessionExport, AHostThatRefusesEndsIt) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(1, 90), 5);
  const std::vector<uint8_t> whole = session.exported();
  Slow counting;
  ASSERT_EQ(fsv_session_export(session.handle(), 0, Slow::write, &counting, nullptr), FSV_OK);
  for (int piece = 0; piece < counting.pieces; ++piece) {
    for (const fsv_status result : {fsv_status{FSV_ERROR_CANCELLED}, fsv_status{-3}, fsv_status{7777}}) {
      Slow slow;
      slow.failing_piece = piece;
      slow.result = result;
      fsv_error error{};
      const fsv_status status = fsv_session_export(session.handle(), 0, Slow::write, &slow, &error);
      EXPECT_EQ(status, result == FSV_ERROR_CANCELLED ? result : fsv_status{FSV_ERROR_IO});
      EXPECT_NE(std::string(error.message).find("write"), std::string::npos);
      EXPECT_EQ(slow.pieces, piece + 1);
    }
  }
  EXPECT_EQ(session.exported(), whole);
  const std::vector<int32_t> next = random_prompt(2, 5);
  EXPECT_EQ(session.turn(next, 3).cached_count, 94u);
}

TEST(SessionExport, OutlivesTheShutdown) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(1, 50), 5);
  const std::vector<uint8_t> before = session.exported();
  EXPECT_EQ(fsv_engine_shutdown(host.engine(), 0, nullptr), FSV_OK);
  EXPECT_EQ(session.exported(), before);
}

TEST(SessionImport, ComesThroughTheHostsFiles) {
  HostFiles files;
  const fsv_io io = files.io();
  files.files["model"] = tiny_gguf(shape_of("llama"));
  Host host("model", [&](fsv_engine_config& config) { config.io = &io; });
  TestSession session(host);
  (void)session.turn(random_prompt(1, 50), 5);
  files.files["saved"] = session.exported();
  const uint64_t before = files.call_count;
  auto load = [&](const char* path, fsv_error* error) {
    fsv_session* handle = nullptr;
    const fsv_status status = fsv_session_load(host.engine(), host.model(), path, SIZE_MAX, &handle, error);
    if (handle != nullptr) (void)fsv_session_release(handle, nullptr);
    return status;
  };
  fsv_error error{};
  EXPECT_EQ(load("saved", &error), FSV_OK) << error.message;
  EXPECT_EQ(load("elsewhere", &error), FSV_ERROR_NOT_FOUND);
  const uint64_t calls = files.call_count - before - 1;
  ASSERT_GE(calls, 5u);
  const uint64_t blocks = host.memory().kv_block_bytes_used;
  for (uint64_t n = 1; n <= calls; ++n) {
    files.fail_at = files.call_count + n;
    files.failure = FSV_ERROR_DEVICE;
    EXPECT_EQ(load("saved", &error), FSV_ERROR_DEVICE) << n;
    EXPECT_EQ(host.memory().kv_block_bytes_used, blocks);
    EXPECT_EQ(host.memory().session_count, 1u);
    EXPECT_EQ(files.open_count, 0);
  }
  files.fail_at = 0;
  EXPECT_EQ(load("saved", &error), FSV_OK) << error.message;
}

TEST(SessionImport, BadCalls) {
  Host host(model_file().path()), foreign(model_file().path());
  TestSession session(host);
  const std::vector<uint8_t> bytes = session.exported();  // of an empty session
  EXPECT_TRUE(TestSession::imported(host, bytes)->tokens().empty());
  fsv_session* made = nullptr;
  fsv_error error{};
  auto import_with = [&](fsv_engine* engine, fsv_model* model, const void* data, fsv_session** target) {
    return fsv_session_import(engine, model, data, bytes.size(), target, &error);
  };
  EXPECT_EQ(import_with(host.engine(), host.model(), bytes.data(), nullptr), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(import_with(host.engine(), host.model(), nullptr, &made), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(import_with(host.engine(), foreign.model(), bytes.data(), &made), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(import_with(nullptr, host.model(), bytes.data(), &made), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_load(host.engine(), host.model(), "", 0, &made, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_load(host.engine(), host.model(), "/no/such/file", SIZE_MAX, &made, &error),
            FSV_ERROR_NOT_FOUND);
  EXPECT_EQ(made, nullptr);
  Slow slow;
  EXPECT_EQ(fsv_session_export(nullptr, 0, Slow::write, &slow, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_export(session.handle(), 0, nullptr, &slow, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_export(session.handle(), 2, Slow::write, &slow, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(slow.pieces, 0);
  EXPECT_EQ(session.save("x", 2), FSV_ERROR_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace fastserve::test
