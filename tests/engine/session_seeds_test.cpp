// The fuzzer's seeds of saved sessions, written by an implementation of the format of its own
// (tests/golden/make_session_seeds.py): each is taken, with what it says.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "support/saved_session.h"

namespace fastserve {
namespace {

struct Seed {
  const char* name;
  size_t token_count, cached_count, turn_count;
};

TEST(SessionSeeds, AreTaken) {
  const test::SavedSessionEngine host(test::SavedSessionEngine::small_shape());
  ASSERT_NE(host.model(), nullptr);
  for (const Seed& seed : {Seed{"empty", 0, 0, 0}, Seed{"text", 5, 0, 1}, Seed{"turns", 36, 0, 3},
                           Seed{"kv", 20, 20, 2}, Seed{"kv_behind", 40, 33, 1}, Seed{"kv_of_another_type", 20, 0, 1}}) {
    std::ifstream file(std::string(FASTSERVE_TEST_DATA "/../fuzz/seeds/session/") + seed.name, std::ios::binary);
    std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    ASSERT_GE(bytes.size(), SessionFixedPart::kBytes) << seed.name;
    const char* broken = nullptr;
    // The fingerprint is not in the seed: it depends on the model.
    EXPECT_EQ(test::import_any(host, bytes, &broken).status.code(), StatusCode::kInvalidArgument) << seed.name;
    EXPECT_EQ(broken, nullptr) << broken;
    store_little_endian(host.model()->fingerprint, bytes.data() + test::kSavedFingerprintField);
    EXPECT_EQ(test::import_any(host, bytes, &broken).status.code(), StatusCode::kCorrupt) << seed.name;
    test::seal_session(bytes);
    const test::ImportedFacts facts = test::import_any(host, bytes, &broken);
    EXPECT_EQ(broken, nullptr) << seed.name << ": " << broken;
    EXPECT_TRUE(facts.status.ok()) << seed.name << ": " << facts.status.message();
    EXPECT_EQ(facts.info.token_count, seed.token_count) << seed.name;
    EXPECT_EQ(facts.info.cached_count, seed.cached_count) << seed.name;
    EXPECT_EQ(facts.info.turn_count, seed.turn_count) << seed.name;
  }
}

}  // namespace
}  // namespace fastserve
