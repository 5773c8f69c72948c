// The template engine against jinja2 as transformers sets it up: language features and whole chat templates.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/json.h"
#include "text/chat_template.h"

namespace fastserve {
namespace {

constexpr int64_t kNow = 1721826000;  // of make_templates.py

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(FASTSERVE_TEST_DATA "/templates/") + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// What came out, or the error behind "ERROR: ".
std::string render(std::string_view source, const ChatTemplateOptions& options, ChatInput input) {
  input.now_seconds = kNow;
  const auto created = create_chat_template(source, options);
  if (!created.ok()) {
    EXPECT_EQ(created.status().code(), StatusCode::kTemplate);
    return std::string("ERROR: ") + created.status().message();
  }
  const auto spans = created.value()->render(input);
  if (!spans.ok()) {
    EXPECT_EQ(spans.status().code(), StatusCode::kTemplate) << spans.status().message();
    return std::string("ERROR: ") + spans.status().message();
  }
  return spans_to_text(spans.value());
}

void expect_outcome(const json::Value& golden, const std::string& rendered) {
  if (const auto expected = golden["o"].string()) {
    EXPECT_EQ(rendered, *expected);
  } else {
    EXPECT_TRUE(rendered.starts_with("ERROR: chat template, line "))
        << "expected " << *golden["e"].string() << ", got " << rendered;
  }
}

json::Value find_conversation(const json::Value& conversations, std::string_view name) {
  for (size_t i = 0; i < conversations.size(); ++i) {
    if (conversations.at(i)["name"].string() == name) return conversations.at(i);
  }
  return {};
}

TEST(TemplateGolden, LanguageFeatures) {
  const std::string text = read_file("language.json");
  const auto document = json::parse(text, "language.json");
  ASSERT_TRUE(document.ok()) << document.status().message();
  const json::Value cases = document.value().root();
  ASSERT_GE(cases.size(), 300u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const json::Value golden = cases.at(i);
    SCOPED_TRACE(*golden["t"].string());
    ChatInput input;
    input.variables_json = *golden["v"].string();
    expect_outcome(golden, render(*golden["t"].string(), {}, input));
  }
}

TEST(TemplateGolden, ChatTemplates) {
  const std::string text = read_file("chats.json");
  const auto document = json::parse(text, "chats.json");
  ASSERT_TRUE(document.ok()) << document.status().message();
  const json::Value cases = document.value().root();
  ASSERT_GE(cases.size(), 200u);
  const std::string conversation_text = read_file("conversations.json");
  const auto conversations = json::parse(conversation_text, "conversations.json");
  ASSERT_TRUE(conversations.ok()) << conversations.status().message();
  for (size_t i = 0; i < cases.size(); ++i) {
    const json::Value golden = cases.at(i);
    const std::string file(*golden["template"].string());
    const std::string_view name = *golden["chat"].string();
    SCOPED_TRACE(file + ": " + std::string(name));
    const json::Value chat = find_conversation(conversations.value().root(), name);
    ASSERT_TRUE(chat.present());
    ChatTemplateOptions options;
    options.bos_token = golden["tokens"]["bos_token"].string().value_or("");
    options.eos_token = golden["tokens"]["eos_token"].string().value_or("");
    ChatInput input;
    input.messages_json = chat["messages"].string().value_or("[]");
    input.tools_json = chat["tools"].string().value_or("");
    input.variables_json = chat["variables"].string().value_or("");
    input.add_generation_prompt = chat["add_generation_prompt"].boolean().value_or(false);
    expect_outcome(golden, render(read_file(file), options, input));
  }
}

}  // namespace
}  // namespace fastserve
