// Conversations in C structs, checked and rendered.
#pragma once
#include <vector>

#include "engine/loaded_model.h"
#include "fastserve.h"
#include "text/chat_template.h"

namespace fastserve::api {

Result<std::vector<ChatSpan>> render_messages(const LoadedModel& model, const fsv_chat_message* messages,
                                              size_t message_count, uint32_t flags);
Result<std::vector<ChatSpan>> render_chat(const LoadedModel& model, const fsv_chat* chat);

}  // namespace fastserve::api
