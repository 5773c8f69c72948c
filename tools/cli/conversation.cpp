// Edits of the list of messages. An edit that takes messages away lets all that are left be sent again.
#include "conversation.h"

#include <algorithm>
#include <cstddef>

namespace fastserve::cli {

void Conversation::set_system(std::string_view content) {
  messages_.erase(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(first_turn()));
  if (!content.empty()) messages_.insert(messages_.begin(), make_message("system", content));
  skip_begin_ = skip_end_ = 0;
}

void Conversation::reset() {
  messages_.resize(first_turn());
  skip_begin_ = skip_end_ = 0;
}

bool Conversation::undo() {
  size_t last = messages_.size();
  while (last > 0 && messages_[last - 1].role != "user") --last;
  if (last == 0) return false;
  messages_.resize(last - 1);
  skip_begin_ = skip_end_ = 0;
  return true;
}

void Conversation::drop_end() { messages_.pop_back(); }

bool Conversation::skip_oldest_turn() {
  const size_t begin = first_turn();
  size_t next = std::max(skip_end_, begin) + 1;
  while (next < messages_.size() && messages_[next].role != "user") ++next;
  if (next >= messages_.size()) return false;
  skip_begin_ = begin;
  skip_end_ = next;
  return true;
}

void Conversation::load(std::vector<Message> messages) {
  messages_ = std::move(messages);
  skip_begin_ = skip_end_ = 0;
}

std::vector<fsv_chat_message> Conversation::sent() const {
  std::vector<fsv_chat_message> list;
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (i >= skip_begin_ && i < skip_end_) continue;
    const Message& message = messages_[i];
    list.push_back({message.role.data(), message.role.size(), message.content.data(), message.content.size()});
  }
  return list;
}

std::string Conversation::json(size_t skip_begin, size_t skip_end, std::string_view separator) const {
  std::string text = "[";
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (i >= skip_begin && i < skip_end) continue;
    if (text.size() > 1) text += separator;
    text += messages_[i].json;
  }
  return text + "]";
}

}  // namespace fastserve::cli
