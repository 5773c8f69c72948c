// Chat templates over the template engine, and the way from spans to ids.
#include "text/chat_template.h"

#include <algorithm>
#include <chrono>

#include "base/format.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/jinja_parser.h"
#include "text/jinja/value_from_json.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

using jinja::Value;
using jinja::ValueKind;

constexpr size_t kSourceBytesMax = 4u << 20;
constexpr std::string_view kPlainChatMl =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

Status to_status(const jinja::TemplateFailure& failure) {
  return Status(StatusCode::kTemplate, format("chat template, line ", failure.line, ": ", failure.message));
}

bool is_plain_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), plain);
}

Value make_role(std::string_view role) { return Value::text(role, is_plain_word(role)); }

// A message of the host's JSON, its role marked as the template's own word where it is one.
Value with_role(const Value& message) {
  std::vector<Value::Entry> entries = message.entries();
  for (auto& [key, value] : entries) {
    if (key.is(ValueKind::kText) && key.bytes() == "role" && value.is(ValueKind::kText)) {
      value = make_role(value.bytes());
    }
  }
  return Value::dict(std::move(entries));
}

Result<Value> make_messages(const ChatInput& input) {
  std::vector<Value> messages;
  if (input.messages_json.empty()) {
    for (const ChatMessage& message : input.messages) {
      messages.push_back(Value::dict({{Value::text("role", true), make_role(message.role)},
                                      {Value::text("content", true), Value::text(message.content, false)}}));
    }
    return Value::list(std::move(messages));
  }
  FSV_ASSIGN(const Value parsed, jinja::value_from_json(input.messages_json, "messages"));
  if (!parsed.is(ValueKind::kList)) {
    return Status::from_literal(StatusCode::kInvalidArgument, "messages: expected an array of objects");
  }
  for (const Value& message : parsed.items()) {
    if (!message.is(ValueKind::kDict)) {
      return Status(StatusCode::kInvalidArgument,
                    format("messages: element ", messages.size(), " is no object but ", message.type_name()));
    }
    messages.push_back(with_role(message));
  }
  return Value::list(std::move(messages));
}

int64_t system_seconds() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch()).count();
}

class JinjaChatTemplate final : public ChatTemplate {
 public:
  JinjaChatTemplate(jinja::Body body, const ChatTemplateOptions& options) : body_(std::move(body)), options_(options) {}

  Result<std::vector<ChatSpan>> render(const ChatInput& input) const override {
    return guarded([&]() -> Result<std::vector<ChatSpan>> {
      try {
        return render_values(input);
      } catch (const jinja::TemplateFailure& failure) {
        return to_status(failure);
      }
    });
  }

 private:
  using Globals = std::vector<std::pair<std::string_view, Value>>;

  Result<std::vector<ChatSpan>> render_values(const ChatInput& input) const {
    Globals globals;
    FSV_ASSIGN(Value messages, make_messages(input));
    globals.emplace_back("messages", std::move(messages));
    globals.emplace_back("add_generation_prompt", Value::boolean(input.add_generation_prompt));
    FSV_ASSIGN(Value tools,
               input.tools_json.empty() ? Value::none() : jinja::value_from_json(input.tools_json, "tools"));
    globals.emplace_back("tools", std::move(tools));
    globals.emplace_back("documents", Value::none());
    add_tokens(globals);
    Value variables = Value::dict({});
    if (!input.variables_json.empty()) {
      FSV_ASSIGN(variables, jinja::value_from_json(input.variables_json, "variables"));
      if (!variables.is(ValueKind::kDict)) {
        return Status::from_literal(StatusCode::kInvalidArgument, "variables: expected an object");
      }
    }
    jinja::add_builtin_globals(globals);
    // The host's variables come before those above of the same name.
    Globals all;
    for (const auto& [key, value] : variables.entries()) all.emplace_back(key.bytes(), value);
    all.insert(all.end(), globals.begin(), globals.end());
    jinja::Evaluator evaluator(std::move(all), input.now_seconds.has_value() ? *input.now_seconds : system_seconds(),
                               {});
    return to_spans(evaluator.run(body_));
  }

  void add_tokens(Globals& globals) const {
    const std::pair<std::string_view, const std::string&> tokens[] = {{"bos_token", options_.bos_token},
                                                                      {"eos_token", options_.eos_token},
                                                                      {"unk_token", options_.unk_token},
                                                                      {"pad_token", options_.pad_token}};
    for (const auto& [name, token] : tokens) {
      if (!token.empty()) globals.emplace_back(name, Value::text(token, true));
    }
  }

  static std::vector<ChatSpan> to_spans(const jinja::TrackedText& text) {
    std::vector<ChatSpan> spans;
    size_t start = 0;
    for (const jinja::TrackedText::Run& run : text.runs()) {
      spans.push_back({text.bytes().substr(start, run.end - start), run.trusted});
      start = run.end;
    }
    return spans;
  }

  jinja::Body body_;
  ChatTemplateOptions options_;
};

class BrokenChatTemplate final : public ChatTemplate {
 public:
  explicit BrokenChatTemplate(Status reason) : reason_(std::move(reason)) {}
  Result<std::vector<ChatSpan>> render(const ChatInput&) const override { return reason_; }

 private:
  Status reason_;
};

}  // namespace

Result<std::vector<ChatSpan>> ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt) const {
  ChatInput input;
  input.messages = messages;
  input.add_generation_prompt = add_generation_prompt;
  return render(input);
}

Result<std::unique_ptr<ChatTemplate>> create_chat_template(std::string_view source,
                                                           const ChatTemplateOptions& options) {
  if (source.empty()) source = kPlainChatMl;
  if (source.size() > kSourceBytesMax) {
    return Status(StatusCode::kTemplate,
                  format("chat template: ", source.size(), " bytes, more than ", kSourceBytesMax));
  }
  if (const size_t valid = unicode::valid_prefix_bytes(source); valid != source.size()) {
    return Status(StatusCode::kTemplate, format("chat template: no UTF-8 at byte ", valid));
  }
  return guarded([&]() -> Result<std::unique_ptr<ChatTemplate>> {
    try {
      return std::unique_ptr<ChatTemplate>(std::make_unique<JinjaChatTemplate>(jinja::parse_template(source), options));
    } catch (const jinja::TemplateFailure& failure) {
      return to_status(failure);
    }
  });
}

std::unique_ptr<ChatTemplate> broken_chat_template(Status reason) {
  return std::make_unique<BrokenChatTemplate>(std::move(reason));
}

ChatTemplateOptions template_options(const Tokenizer& tokenizer) {
  ChatTemplateOptions options;
  if (tokenizer.bos_id() >= 0) options.bos_token = tokenizer.token_bytes(tokenizer.bos_id());
  if (tokenizer.eos_id() >= 0) options.eos_token = tokenizer.token_bytes(tokenizer.eos_id());
  return options;
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
