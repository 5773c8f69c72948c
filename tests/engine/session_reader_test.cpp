// Saved sessions whose checksums are right and whose contents are not: each field that a reader uses, contradicted.
#include <gtest/gtest.h>

#include <functional>

#include "support/saved_session.h"

namespace fastserve {
namespace {

// Offsets of the fixed part's fields, as session_layout.h lists them, and of what follows it here.
enum Field : size_t {
  kMagicField = 0,
  kVersionField = 8,
  kKvLayoutField = 12,
  kTotalField = 16,
  kKvBytesField = test::kSavedKvBytesField,
  kFingerprintField = test::kSavedFingerprintField,
  kVocabularyField = 40,
  kNameBytesField = 44,
  kTokenCountField = 48,
  kTurnCountField = 52,
  kReplacedCountField = 56,
  kKvTokenCountField = 60,
  kKvTypeField = 64,
  kKvLayerCountField = 68,
  kFirstToken = 72 + 4,  // the model is called "tiny"
};
constexpr uint32_t kTokens = 36;  // 20, then 10 that follow, then 16 instead of 10 of them: two turns replaced none
constexpr size_t kFirstTurn = kFirstToken + 4 * kTokens, kFirstReplaced = kFirstTurn + 8 * 3;
constexpr size_t kFirstLayer = kFirstReplaced + 4 * 10;

class SessionReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(model_, nullptr);
    write();
  }

  void write() {
    Result<std::shared_ptr<Session>> session = engine_->sessions().create(model_);
    ASSERT_TRUE(session.ok());
    turn(*session, 0, 20);
    turn(*session, 20, 10);
    turn(*session, 20, 16);
    test::VectorSink sink;
    ASSERT_TRUE(engine_->export_session(*session, true, sink).ok());
    engine_->sessions().release(*session);
    bytes_ = sink.bytes;
    ASSERT_EQ(number<uint32_t>(kTokenCountField), kTokens);
    ASSERT_EQ(number<uint32_t>(kKvTokenCountField), kTokens);
    ASSERT_EQ(number<uint32_t>(kReplacedCountField), 10u);
    kv_used_ = engine_->memory().kv.used_bytes;
  }
  // The first `kept` tokens of the session's text, then `added` others; nothing is generated.
  void turn(const std::shared_ptr<Session>& session, size_t kept, size_t added) {
    Result<std::shared_ptr<SessionTurn>> begun = engine_->sessions().begin_turn(session);
    ASSERT_TRUE(begun.ok());
    RequestParameters parameters;
    parameters.kind = RequestKind::kPrefill;
    parameters.turn = begun.take();
    parameters.prompt = parameters.turn->tokens();
    parameters.prompt.resize(kept);
    for (size_t i = 0; i < added; ++i) parameters.prompt.push_back(static_cast<int32_t>(10 + added + i));
    ASSERT_TRUE(engine_->submit(model_, std::move(parameters)).ok());
    ASSERT_TRUE(host_.run());
  }

  template <typename T>
  T number(size_t offset) const {
    return load_little_endian<T>(bytes_.data() + offset);
  }
  template <typename T>
  static void set(std::vector<uint8_t>& bytes, size_t offset, T value) {
    store_little_endian(value, bytes.data() + offset);
  }
  void expect_refused(StatusCode code, const char* text, const std::function<void(std::vector<uint8_t>&)>& edit) {
    std::vector<uint8_t> bytes = bytes_;
    edit(bytes);
    test::seal_session(bytes);
    const Result<std::shared_ptr<Session>> session = host_.import(bytes);
    ASSERT_FALSE(session.ok()) << text;
    EXPECT_EQ(session.status().code(), code) << session.status().message();
    EXPECT_NE(std::string(session.status().message()).find(text), std::string::npos) << session.status().message();
    EXPECT_EQ(engine_->memory().sessions.session_count, 0u);
    EXPECT_EQ(engine_->memory().kv.used_bytes, kv_used_);
    EXPECT_TRUE(engine_->check_integrity());
  }
  void expect_field_refused(StatusCode code, const char* text, size_t offset, uint32_t value) {
    expect_refused(code, text, [&](std::vector<uint8_t>& bytes) { set(bytes, offset, value); });
  }

  const test::SavedSessionEngine host_{test::TinyShape{}};
  Engine* engine_ = &host_.engine();
  std::shared_ptr<LoadedModel> model_ = host_.model();
  std::vector<uint8_t> bytes_;
  int64_t kv_used_ = 0;
};

TEST_F(SessionReaderTest, TakesWhatItWrote) {
  std::vector<uint8_t> bytes = bytes_;
  test::seal_session(bytes);
  EXPECT_EQ(bytes, bytes_);
  const Result<std::shared_ptr<Session>> session = host_.import(bytes);
  ASSERT_TRUE(session.ok()) << session.status().message();
  EXPECT_EQ(engine_->sessions().info(**session).cached_count, kTokens);
  EXPECT_EQ(engine_->sessions().info(**session).turn_count, 3u);
  EXPECT_TRUE(engine_->check_integrity());
  engine_->sessions().release(*session);
}

TEST_F(SessionReaderTest, HeadersThatContradictThemselves) {
  constexpr StatusCode kCorrupt = StatusCode::kCorrupt;
  expect_field_refused(kCorrupt, "no saved session", kMagicField, 1);
  expect_field_refused(StatusCode::kUnsupported, "version 2", kVersionField, 2);
  expect_field_refused(kCorrupt, "were written", kTotalField, 5);
  for (const size_t field :
       {kKvBytesField, kNameBytesField, kTokenCountField, kTurnCountField, kReplacedCountField, kKvLayerCountField}) {
    expect_field_refused(kCorrupt, "contradict", field, 5);
    expect_field_refused(kCorrupt, "contradict", field, UINT32_MAX);
  }
  expect_refused(kCorrupt, "contradict",
                 [](std::vector<uint8_t>& bytes) { set(bytes, kKvBytesField, UINT64_MAX - 7); });
  expect_field_refused(kCorrupt, "contradict", kKvTokenCountField, kTokens + 1);
  // Sizes that add up, of more turns than a session keeps.
  expect_refused(kCorrupt, "contradict", [](std::vector<uint8_t>& bytes) {
    set(bytes, kTurnCountField, uint32_t{257});
    bytes.insert(bytes.begin() + kFirstTurn, size_t{8} * 254, uint8_t{0});
    set(bytes, kTotalField, uint64_t{bytes.size()});
  });
}

TEST_F(SessionReaderTest, TextsThatCannotBe) {
  constexpr StatusCode kCorrupt = StatusCode::kCorrupt;
  constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
  expect_field_refused(kInvalid, "another model", kFingerprintField, 1);
  expect_field_refused(kInvalid, "a vocabulary of 299, not to", kVocabularyField, 299);
  expect_field_refused(kCorrupt, "is 300, outside the vocabulary of 300", kFirstToken + 4 * 7, 300);
  expect_field_refused(kCorrupt, "is -1, outside", kFirstToken + 4 * 35, UINT32_MAX);
  expect_field_refused(kCorrupt, "is 300, outside", kFirstReplaced, 300);
  expect_field_refused(kCorrupt, "turn 2", kFirstTurn + 16, kTokens + 1);
  expect_field_refused(kCorrupt, "turn 1", kFirstTurn + 8, 31);  // the third turn left 20 and 10
  expect_field_refused(kCorrupt, "turn 0", kFirstTurn, UINT32_MAX);
  expect_field_refused(kCorrupt, "turn", kFirstTurn + 20, UINT32_MAX);
  expect_field_refused(kCorrupt, "turn", kFirstTurn + 20, 11);
  expect_field_refused(kCorrupt, "replace 9 tokens, not 10", kFirstTurn + 20, 9);
  // One token of KV less needs as many blocks, fourteen less need fewer.
  expect_field_refused(kCorrupt, "bytes of KV", kKvTokenCountField, kTokens - 14);
  // Longer than the context here.
  expect_refused(StatusCode::kContextTooLong, "70 tokens, the context holds 64", [](std::vector<uint8_t>& bytes) {
    bytes.insert(bytes.begin() + kFirstToken, size_t{4} * 34, uint8_t{0});
    set(bytes, kTokenCountField, uint32_t{70});
    set(bytes, kTotalField, uint64_t{bytes.size()});
  });
}

TEST_F(SessionReaderTest, KvOfAnotherKindIsPassedOver) {
  const size_t fields[] = {kKvLayoutField,  kKvTypeField,     kFirstLayer,     kFirstLayer + 4,
                           kFirstLayer + 8, kFirstLayer + 12, kFirstLayer + 16};
  for (const size_t field : fields) {
    std::vector<uint8_t> bytes = bytes_;
    set(bytes, field, uint32_t{77});
    test::seal_session(bytes);
    const Result<std::shared_ptr<Session>> session = host_.import(bytes);
    ASSERT_TRUE(session.ok()) << session.status().message();
    EXPECT_EQ(engine_->sessions().info(**session).cached_count, 0u);
    EXPECT_EQ(engine_->sessions().info(**session).token_count, kTokens);
    engine_->sessions().release(*session);
    // Its checksum counts all the same.
    bytes[bytes.size() - 20] ^= 1;
    EXPECT_EQ(host_.import(bytes).status().code(), StatusCode::kCorrupt);
  }
  EXPECT_EQ(engine_->memory().kv.used_bytes, kv_used_);
}

}  // namespace
}  // namespace fastserve
