// Chat templates: a conversation to text in which the template's own words and the users' are told apart.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace fastserve {

struct ChatMessage {
  std::string role;
  std::string content;
};

// A run of rendered text; only `from_template` runs may hold control tokens.
struct ChatSpan {
  std::string text;
  bool from_template = false;
};

class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual Result<std::vector<ChatSpan>> render(const std::vector<ChatMessage>& messages,
                                               bool add_generation_prompt) const = 0;
};

// From a model's template text ("tokenizer.chat_template"); empty text means plain ChatML.
Result<std::unique_ptr<ChatTemplate>> create_chat_template(std::string_view source);

std::string spans_to_text(const std::vector<ChatSpan>& spans);
// The text as a whole, so that words may run across spans; control tokens are recognised within template runs alone.
Status encode_spans(const Tokenizer& tokenizer, const std::vector<ChatSpan>& spans, std::vector<int32_t>& ids);

}  // namespace fastserve
