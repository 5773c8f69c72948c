// Answers to standard output, remarks to standard error; with --json everything to standard output.
#include "chat_output.h"

#include "console.h"
#include "json_writer.h"

namespace fastserve::cli {

namespace {

void print_event(JsonWriter& out) { print(out.end_object().text() + "\n"); }

JsonWriter event(const char* name) {
  JsonWriter out;
  out.begin_object().member("event", name);
  return out;
}

}  // namespace

void ChatOutput::ready(const EngineSession& session, const std::string& model) {
  if (!json_) return note(std::string(session.info().name) + ": type a message, or /help for the commands");
  JsonWriter out = event("ready");
  out.member("model", model).member("name", session.info().name).member("load_ms", session.load_ms());
  print_event(out);
}

void ChatOutput::piece(std::string_view text) {
  if (!json_) return print(text);
  JsonWriter out = event("text");
  out.member("text", text);
  print_event(out);
}

void ChatOutput::answered(const Answer& answer, size_t skipped, bool context_is_full) {
  if (json_) {
    JsonWriter out = event("answer");
    out.member("text", answer.text).member("prompt_tokens", answer.prompt_token_count);
    out.member("cached_tokens", answer.cached_token_count);
    out.member("answer_tokens", answer.token_ids.size()).member("skipped_messages", skipped);
    out.member("context_full", context_is_full);
    answer.write_json(out);
    return print_event(out);
  }
  print("\n");
  if (answer.finish_reason == FSV_FINISH_CANCELLED) note("(stopped)");
  if (context_is_full) note("(the context is full: /undo or /reset, or start with a larger --context)");
}

void ChatOutput::command_done(std::string_view command, const std::string& remark) {
  if (!json_) return remark.empty() ? void() : note(remark);
  JsonWriter out = event("command");
  out.member("command", command).member("remark", remark);
  print_event(out);
}

void ChatOutput::failed(const Failure& failure) {
  if (!json_) return report(failure, false);
  JsonWriter out = event("error");
  out.member("status", fsv_status_name(failure.status())).member("message", failure.what());
  out.member("exit_code", static_cast<int>(failure.code()));
  print_event(out);
}

}  // namespace fastserve::cli
