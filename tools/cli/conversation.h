// The messages of a chat: an optional system message, then turns that begin with a message of the user.
#ifndef FASTSERVE_CLI_CONVERSATION_H
#define FASTSERVE_CLI_CONVERSATION_H

#include <string>
#include <string_view>
#include <vector>

#include "chat_json.h"
#include "fastserve.h"

namespace fastserve::cli {

class Conversation {
 public:
  void add(std::string_view role, std::string_view content) { messages_.push_back(make_message(role, content)); }
  // Replaces the system message, or puts one first; an empty one removes it.
  void set_system(std::string_view content);
  void reset();     // all but the system message
  bool undo();      // the last message of the user and what came after it; false: there is none
  void drop_end();  // the last message

  // The oldest turn that still reaches the model will not any more; false when only the last one is left. Saved
  // conversations keep it.
  bool skip_oldest_turn();

  size_t size() const { return messages_.size(); }
  size_t skipped() const { return skip_end_ - skip_begin_; }
  // What reaches the model: points into the messages.
  std::vector<fsv_chat_message> sent() const;
  // An array of the messages that reach the model.
  std::string sent_json() const { return json(skip_begin_, skip_end_, ","); }
  // All of them, one a line.
  std::string saved_json() const { return json(0, 0, ",\n") + "\n"; }
  void load(std::vector<Message> messages);

 private:
  std::string json(size_t skip_begin, size_t skip_end, std::string_view separator) const;
  size_t first_turn() const { return !messages_.empty() && messages_.front().role == "system" ? 1 : 0; }

  std::vector<Message> messages_;
  size_t skip_begin_ = 0, skip_end_ = 0;  // messages that are not sent
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_CONVERSATION_H
