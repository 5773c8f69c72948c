// What `chat` says: streamed answers and remarks as text, or one JSON object a line.
#ifndef FASTSERVE_CLI_CHAT_OUTPUT_H
#define FASTSERVE_CLI_CHAT_OUTPUT_H

#include <string>
#include <string_view>

#include "exit_code.h"
#include "generation.h"

namespace fastserve::cli {

class ChatOutput {
 public:
  explicit ChatOutput(bool json) : json_(json) {}
  void ready(const EngineSession& session, const std::string& model);
  void piece(std::string_view text);  // of an answer
  // `skipped`: messages that no longer reach the model.
  void answered(const Answer& answer, size_t skipped, bool context_is_full);
  void command_done(std::string_view command, const std::string& remark);
  void failed(const Failure& failure);

 private:
  bool json_;
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_CHAT_OUTPUT_H
