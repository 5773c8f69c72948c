// ChatML, and the way from spans to ids.
#include "text/chat_template.h"

#include "base/format.h"

namespace fastserve {
namespace {

constexpr std::string_view kDefaultSystem = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

class ChatMl final : public ChatTemplate {
 public:
  // `default_system`: what a conversation begins with that has no system message; empty: nothing.
  explicit ChatMl(std::string default_system) : default_system_(std::move(default_system)) {}

  Result<std::vector<ChatSpan>> render(const std::vector<ChatMessage>& messages,
                                       bool add_generation_prompt) const override {
    std::vector<ChatSpan> spans;
    std::string own;  // the template's words since the last span
    const auto say = [&](std::string text, bool from_template) {
      if (!text.empty()) spans.push_back({std::move(text), from_template});
    };
    if (!default_system_.empty() && !messages.empty() && messages.front().role != "system") {
      own = format("<|im_start|>system\n", default_system_, "<|im_end|>\n");
    }
    for (const ChatMessage& message : messages) {
      say(own + "<|im_start|>", true);
      say(message.role, false);
      say("\n", true);
      say(message.content, false);
      own = "<|im_end|>\n";
    }
    if (add_generation_prompt) own += "<|im_start|>assistant\n";
    say(std::move(own), true);
    return spans;
  }

 private:
  std::string default_system_;
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

Result<std::unique_ptr<ChatTemplate>> create_chat_template(std::string_view source) {
  if (source.empty()) return std::unique_ptr<ChatTemplate>(std::make_unique<ChatMl>(""));
  if (contains(source, "<|im_start|>") && contains(source, "<|im_end|>")) {
    const std::string_view system = contains(source, kDefaultSystem) ? kDefaultSystem : std::string_view();
    return std::unique_ptr<ChatTemplate>(std::make_unique<ChatMl>(std::string(system)));
  }
  return Status(StatusCode::kUnsupported, "the model's chat template is not ChatML");
}

std::string spans_to_text(const std::vector<ChatSpan>& spans) {
  std::string text;
  for (const ChatSpan& span : spans) text += span.text;
  return text;
}

Status encode_spans(const Tokenizer& tokenizer, const std::vector<ChatSpan>& spans, std::vector<int32_t>& ids) {
  std::string text;
  std::vector<TextRange> ranges;
  for (const ChatSpan& span : spans) {
    const TextRange range{text.size(), text.size() + span.text.size()};
    text += span.text;
    if (!span.from_template || span.text.empty()) continue;
    if (!ranges.empty() && ranges.back().end == range.start) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
  }
  return tokenizer.encode(text, {.special_ranges = ranges}, ids);
}

}  // namespace fastserve
