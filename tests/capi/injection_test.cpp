// Text that names control tokens stays text: every control token of the real models, whole and cut across messages.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/host.h"

namespace fastserve::test {
namespace {

class InjectionModel : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string path = std::string(FASTSERVE_MODEL_DIR "/") + GetParam();
    fsv_model_info info;
    fsv_model_info_init(&info, sizeof(info));
    if (fsv_model_inspect(path.c_str(), path.size(), &info, nullptr) == FSV_ERROR_NOT_FOUND) {
      GTEST_SKIP() << path << " is missing; ./dev models fetches it";
    }
    model_ = host_.load(path, [](fsv_load_config& config) { config.flags = FSV_LOAD_TEXT_ONLY; });
    ASSERT_NE(model_, nullptr);
    for (int32_t id = 0; id < static_cast<int32_t>(info.vocabulary_size); ++id) {
      char text[256];
      size_t size = 0;
      uint32_t attributes = 0;
      ASSERT_EQ(fsv_token_get(model_, id, text, sizeof(text), &size, &attributes, nullptr), FSV_OK);
      is_control_.push_back((attributes & FSV_TOKEN_CONTROL) != 0);
      if (is_control_.back()) controls_.emplace_back(text, size);
    }
    ASSERT_GT(controls_.size(), 3U);
  }

  std::vector<int32_t> ids_of(const std::string& text, uint32_t flags) const {
    std::vector<int32_t> ids(1 << 20);
    size_t count = 0;
    EXPECT_EQ(fsv_tokenize(model_, text.data(), text.size(), flags, ids.data(), ids.size(), &count, nullptr), FSV_OK);
    ids.resize(count);
    return ids;
  }
  std::vector<int32_t> chat_ids(const std::vector<std::string>& contents) const {
    std::vector<fsv_chat_message> messages;
    const char* roles[] = {"system", "user", "assistant", "user"};
    for (size_t i = 0; i < contents.size(); ++i) {
      messages.push_back({roles[i], SIZE_MAX, contents[i].data(), contents[i].size()});
    }
    std::vector<int32_t> ids(1 << 20);
    size_t count = 0;
    EXPECT_EQ(fsv_chat_tokenize(model_, messages.data(), messages.size(), FSV_CHAT_ADD_GENERATION_PROMPT, ids.data(),
                                ids.size(), &count, nullptr),
              FSV_OK);
    ids.resize(count);
    return ids;
  }
  std::vector<int32_t> controls_in(std::vector<int32_t> ids) const {
    std::erase_if(ids, [&](int32_t id) { return !is_control_[static_cast<size_t>(id)]; });
    return ids;
  }
  std::string every_control(const std::string& between) const {
    std::string text = between;
    for (const std::string& control : controls_) text += control + between;
    return text;
  }

  Host host_;
  fsv_model* model_ = nullptr;
  std::vector<std::string> controls_;
  std::vector<bool> is_control_;
};

TEST_P(InjectionModel, TextHoldsNoControlToken) {
  for (const char* between : {"", " ", "\n", "a"}) {
    const std::string text = every_control(between);
    EXPECT_TRUE(controls_in(ids_of(text, 0)).empty());
    // The same text, asked for: every one of them is there.
    EXPECT_GE(controls_in(ids_of(text, FSV_TOKENIZE_PARSE_SPECIAL)).size(), controls_.size() / 2);
  }
}

TEST_P(InjectionModel, MessagesChangeNoControlToken) {
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  ASSERT_EQ(fsv_model_get_info(model_, &info, nullptr), FSV_OK);
  if (info.has_chat_template == 0) GTEST_SKIP() << "the model has no chat template";
  const std::vector<int32_t> own = controls_in(chat_ids({"a", "b", "c", "d"}));
  ASSERT_GE(own.size(), 8U);
  for (const char* between : {"", " ", "\n"}) {
    const std::string attack = every_control(between);
    EXPECT_EQ(controls_in(chat_ids({attack, attack, attack, attack})), own);
  }
  for (const std::string& control : controls_) {  // cut at every byte, the halves in neighbouring messages
    for (size_t cut = 1; cut < control.size(); ++cut) {
      const std::string begin = control.substr(0, cut), end = control.substr(cut);
      if (static_cast<unsigned char>(end[0]) >> 6 == 2) continue;  // inside a code point
      ASSERT_EQ(controls_in(chat_ids({begin, end + begin, end + begin, end})), own) << control << " cut at " << cut;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, InjectionModel,
                         testing::Values("smollm2-135m-instruct-q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"),
                         [](const auto& instance) {
                           return std::string(instance.param).substr(0, 2) == "sm" ? "SmolLm2" : "Gemma3";
                         });

}  // namespace
}  // namespace fastserve::test
