// Conversations in C structs, checked and rendered.
#include "api/chat_arguments.h"

#include "api/shim.h"
#include "base/json.h"

namespace fastserve::api {
namespace {

constexpr size_t kMessagesMax = 1 << 16;

Result<std::string_view> utf8_argument(const char* data, size_t size, const std::string& name) {
  FSV_ASSIGN(const std::string_view text, text_argument(data, size, name.c_str()));
  const size_t valid = utf8_valid_prefix(text);
  if (valid != text.size()) return invalid(format(name, " is not UTF-8 at byte ", valid));
  return text;
}

Result<std::vector<ChatMessage>> copy_messages(const fsv_chat_message* messages, size_t count) {
  if (messages == nullptr) return invalid("messages is NULL");
  if (count > kMessagesMax) return invalid(format("there are ", count, " messages, at most ", kMessagesMax));
  std::vector<ChatMessage> copied;
  copied.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    FSV_ASSIGN(const std::string_view role,
               utf8_argument(messages[i].role, messages[i].role_size, format("role of message ", i)));
    FSV_ASSIGN(const std::string_view content,
               utf8_argument(messages[i].content, messages[i].content_size, format("content of message ", i)));
    copied.push_back({std::string(role), std::string(content)});
  }
  return copied;
}

// The messages of role "system" at the beginning, as far as their content is text.
std::vector<ChatMessage> leading_system_messages(const ChatInput& input) {
  std::vector<ChatMessage> leading;
  auto take = [&](std::string_view role, std::string_view content) {
    if (role != "system") return false;
    leading.push_back({std::string(role), std::string(content)});
    return true;
  };
  for (const ChatMessage& message : input.messages) {
    if (!take(message.role, message.content)) break;
  }
  if (input.messages_json.empty()) return leading;
  const Result<json::Document> document = json::parse(input.messages_json, "messages");
  if (!document.ok()) return leading;
  const json::Value messages = document.value().root();
  for (size_t i = 0; i < messages.size(); ++i) {
    const json::Value message = messages.at(i);
    if (!take(message["role"].string().value_or(""), message["content"].string().value_or(""))) break;
  }
  return leading;
}

std::vector<ChatSpan> render_opening(const ChatTemplate& chat_template, ChatInput input) {
  input.messages = leading_system_messages(input);
  if (input.messages.empty()) return {};
  input.messages_json = {};
  input.add_generation_prompt = false;
  Result<std::vector<ChatSpan>> rendered = chat_template.render(input);
  return rendered.ok() ? rendered.take() : std::vector<ChatSpan>();
}

Status check_flags(uint32_t flags) {
  const bool is_known = (flags & ~static_cast<uint32_t>(FSV_CHAT_ADD_GENERATION_PROMPT)) == 0;
  return is_known ? Status() : invalid("unknown bits in flags");
}

}  // namespace

Result<std::vector<ChatSpan>> render_messages(const LoadedModel& model, const fsv_chat_message* messages,
                                              size_t message_count, uint32_t flags) {
  if (message_count == 0) return invalid("there is no message");
  FSV_TRY(check_flags(flags));
  ChatInput input;
  FSV_ASSIGN(input.messages, copy_messages(messages, message_count));
  input.add_generation_prompt = (flags & FSV_CHAT_ADD_GENERATION_PROMPT) != 0;
  return model.chat_template->render(input);
}

Result<ChatPrompt> render_chat(const LoadedModel& model, const fsv_chat* chat) {
  FSV_ASSIGN(const fsv_chat checked, config_argument(chat, fsv_chat_init, "chat"));
  FSV_TRY(check_flags(checked.flags));
  ChatInput input;
  input.add_generation_prompt = (checked.flags & FSV_CHAT_ADD_GENERATION_PROMPT) != 0;
  FSV_ASSIGN(input.messages_json,
             utf8_argument(checked.messages_json.data, checked.messages_json.size, "messages_json"));
  FSV_ASSIGN(input.tools_json, utf8_argument(checked.tools_json.data, checked.tools_json.size, "tools_json"));
  FSV_ASSIGN(input.variables_json,
             utf8_argument(checked.variables_json.data, checked.variables_json.size, "variables_json"));
  const bool has_messages = checked.message_count > 0;
  if (has_messages != input.messages_json.empty()) {
    return invalid(has_messages ? "both chat.messages and chat.messages_json are given" : "there is no message");
  }
  if (has_messages) {
    FSV_ASSIGN(input.messages, copy_messages(checked.messages, checked.message_count));
  }
  FSV_ASSIGN(const std::string_view source,
             utf8_argument(checked.template_text.data, checked.template_text.size, "template_text"));
  std::unique_ptr<ChatTemplate> own;
  if (!source.empty()) {
    FSV_ASSIGN(own, create_chat_template(source, template_options(*model.tokenizer)));
  }
  const ChatTemplate& chosen = own != nullptr ? *own : *model.chat_template;
  ChatPrompt prompt;
  FSV_ASSIGN(prompt.whole, chosen.render(input));
  prompt.opening = render_opening(chosen, input);
  return prompt;
}

}  // namespace fastserve::api

extern "C" void fsv_chat_init(fsv_chat* chat, uint32_t struct_size) {
  fastserve::api::init_struct(chat, struct_size,
                              [](fsv_chat& defaults) { defaults.flags = FSV_CHAT_ADD_GENERATION_PROMPT; });
}
