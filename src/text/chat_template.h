// Chat templates: a conversation to text in which the template's own words and the users' are told apart.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
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

// What a template is rendered with. Views must stay valid during the call. JSON that is malformed or of another shape
// is kInvalidArgument or kCorrupt, named.
struct ChatInput {
  std::vector<ChatMessage> messages;  // these, or ...
  std::string_view messages_json;     // ... an array of objects (role, content, tool_calls, name ...)
  std::string_view tools_json;        // an array; empty: none
  std::string_view variables_json;    // an object of further variables (enable_thinking ...); empty: none
  bool add_generation_prompt = false;
  std::optional<int64_t> now_seconds;  // since 1970, of strftime_now (in UTC); not given: the system's time
};

// Control tokens by their text, as the model's tokenizer has them; templates see them under these names.
struct ChatTemplateOptions {
  std::string bos_token = {}, eos_token = {}, unk_token = {}, pad_token = {};  // empty: not defined
};

// Those of a tokenizer.
ChatTemplateOptions template_options(const Tokenizer& tokenizer);

// What is the template's own: its text and string literals, the control tokens above, and roles that are plain words
// (letters, digits, '_' and '-'), since templates build tokens such as <|user|> from them. All other text of messages,
// tools and variables never is, whatever a template does with it.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  // kTemplate with line and reason where the template fails; its steps, depth and output are bounded.
  virtual Result<std::vector<ChatSpan>> render(const ChatInput& input) const = 0;
  Result<std::vector<ChatSpan>> render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;
};

// From a model's template text ("tokenizer.chat_template", Jinja as transformers runs it); empty text means plain
// ChatML. kTemplate with line and reason where it cannot be parsed.
Result<std::unique_ptr<ChatTemplate>> create_chat_template(std::string_view source,
                                                           const ChatTemplateOptions& options = {});
// One whose every render gives this status: for a model that loads although its template does not parse.
std::unique_ptr<ChatTemplate> broken_chat_template(Status reason);

std::string spans_to_text(const std::vector<ChatSpan>& spans);
// The text as a whole, so that words may run across spans; control tokens are recognised within template runs alone.
Status encode_spans(const Tokenizer& tokenizer, const std::vector<ChatSpan>& spans, std::vector<int32_t>& ids);

}  // namespace fastserve
