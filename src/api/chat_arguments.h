// Conversations in C structs, checked and rendered.
#pragma once
#include <vector>

#include "engine/loaded_model.h"
#include "fastserve.h"
#include "text/chat_template.h"

namespace fastserve::api {

Result<std::vector<ChatSpan>> render_messages(const LoadedModel& model, const fsv_chat_message* messages,
                                              size_t message_count, uint32_t flags);
// By the host's own template where there is one.
struct ChatPrompt {
  std::vector<ChatSpan> whole;
  std::vector<ChatSpan> opening;  // the system messages at the beginning alone; empty where there is none, or the
                                  // template refuses to render it without an answerable message
};
Result<ChatPrompt> render_chat(const LoadedModel& model, const fsv_chat* chat);

}  // namespace fastserve::api
