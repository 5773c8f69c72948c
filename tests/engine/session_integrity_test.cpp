// Sessions inside the engine: after every step and call the blocks of the KV pool are exactly those that requests and
// sessions hold, counted and promised as they should be.
#include <gtest/gtest.h>

#include <random>

#include "engine/engine.h"
#include "support/tiny_model.h"

namespace fastserve {
namespace {

class SessionIntegrity : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    test::TinyShape shape;
    shape.architecture = "gemma3";
    shape.layers = 6;
    shape.hidden = shape.intermediate = 32;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.window = 32;
    const test::TemporaryFile file(shape);
    EngineOptions options;
    options.mode = EngineMode::kPumped;
    options.context_tokens = 200;
    options.max_sequences = 4;
    options.max_batch_tokens = options.prefill_chunk_tokens = 16;
    options.kv_bytes = 400 * 1024;
    options.keeps_prefixes = GetParam();
    Result<std::shared_ptr<Engine>> created = Engine::create(options);
    ASSERT_TRUE(created.ok());
    engine_ = created.take();
    LoadRequest load;
    load.path = file.path();
    const Result<uint64_t> ticket = engine_->load(std::move(load));
    ASSERT_TRUE(ticket.ok());
    for (bool more = true; more;) ASSERT_TRUE(engine_->step(100000, &more).ok());
    Result<std::shared_ptr<LoadedModel>> model = engine_->take_model(*ticket);
    ASSERT_TRUE(model.ok()) << model.status().message();
    model_ = model.take();
  }

  uint32_t below(uint32_t limit) { return random_() % limit; }

  void submit(const std::shared_ptr<Session>& session) {
    RequestParameters parameters;
    parameters.max_tokens = 1 + below(30);
    parameters.ignore_eos = true;
    if (session != nullptr) {
      Result<std::shared_ptr<SessionTurn>> turn = engine_->sessions().begin_turn(session);
      if (!turn.ok()) return;
      parameters.turn = turn.take();
      parameters.prompt = parameters.turn->tokens();
    }
    parameters.priority = static_cast<int32_t>(below(3));
    const uint32_t count = 1 + below(60);
    // Half of the texts begin alike.
    const uint32_t kind = below(2);
    for (uint32_t i = 0; i < count; ++i) {
      parameters.prompt.push_back(3 + static_cast<int32_t>(kind == 0 ? i : below(200)));
    }
    const Result<uint64_t> request = engine_->submit(model_, std::move(parameters));  // may be too long by now
    if (request.ok()) requests_.push_back(*request);
  }

  void change_sessions() {
    SessionTable& table = engine_->sessions();
    if (sessions_.size() < 6 && below(3) == 0) {
      Result<std::shared_ptr<Session>> created = table.create(model_);
      ASSERT_TRUE(created.ok());
      sessions_.push_back(created.take());
    }
    if (sessions_.empty()) return;
    const size_t index = below(static_cast<uint32_t>(sessions_.size()));
    const std::shared_ptr<Session> session = sessions_[index];
    switch (below(8)) {
      case 0:
        (void)table.undo(*session);
        break;
      case 1:
        (void)table.truncate(*session, below(static_cast<uint32_t>(table.info(*session).token_count) + 1));
        break;
      case 2: {
        Result<std::shared_ptr<Session>> forked = table.fork(*session, below(200));
        if (forked.ok()) sessions_.push_back(forked.take());
        break;
      }
      case 3:
        table.release(session);
        sessions_.erase(sessions_.begin() + static_cast<std::ptrdiff_t>(index));
        break;
      default:
        submit(session);
    }
  }

  // As much as must stay, or anything above.
  void change_budget() {
    const uint64_t budget = below(3) == 0 ? 0 : engine_->memory().floor_bytes + below(4) * below(100'000);
    ASSERT_TRUE(engine_->set_memory_budget(budget).ok());
    const uint32_t kinds = below(4);
    ASSERT_TRUE(engine_->trim_memory(kinds).ok());
  }

  size_t poll() {
    size_t finished = 0;
    (void)engine_->poll(
        64,
        [](void* context, size_t, const EngineEvent& event) {
          *static_cast<size_t*>(context) += event.type == EventType::kFinished ? 1 : 0;
        },
        &finished);
    return finished;
  }

  std::mt19937 random_{21};
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<LoadedModel> model_;
  std::vector<std::shared_ptr<Session>> sessions_;
  std::vector<uint64_t> requests_;
};

INSTANTIATE_TEST_SUITE_P(Prefixes, SessionIntegrity, testing::Bool());

TEST_P(SessionIntegrity, BlocksAreThoseThatAreHeld) {
  size_t finished = 0;
  for (int round = 0; round < 1500; ++round) {
    if (below(2) == 0) change_sessions();
    if (round > 600 && below(8) == 0) change_budget();
    if (below(12) == 0) submit(nullptr);
    if (below(20) == 0 && !requests_.empty())
      (void)engine_->cancel(requests_[below(static_cast<uint32_t>(requests_.size()))]);
    bool more = false;
    ASSERT_TRUE(engine_->step(0, &more).ok());
    ASSERT_TRUE(engine_->check_integrity()) << "round " << round;
    finished += poll();
  }
  EXPECT_GT(finished, 50u);
  for (const auto& session : sessions_) engine_->sessions().release(session);
  for (bool more = true; more; poll()) ASSERT_TRUE(engine_->step(100000, &more).ok());
  EXPECT_TRUE(engine_->check_integrity());
  EXPECT_EQ(engine_->memory().kv.used_bytes > 0, GetParam());
  EXPECT_EQ(engine_->memory().prefixes.hit_count > 0, GetParam());
  EXPECT_EQ(engine_->memory().sessions.session_count, 0u);
}

}  // namespace
}  // namespace fastserve
