// What was said to `chat`: messages of one or several lines, and commands.
#ifndef FASTSERVE_CLI_CHAT_INPUT_H
#define FASTSERVE_CLI_CHAT_INPUT_H

#include <optional>
#include <string>

#include "chat_json.h"

namespace fastserve::cli {

// Reads lines of text: one that begins with "/" is a command ("//" stands for a message's own slash), one that ends
// with a backslash goes on in the next line, and """ opens and closes a message of many lines. With `json` each line is
// an object (see parse_input_line). `prompt`: shows that it waits.
class ChatInput {
 public:
  ChatInput(bool json, bool prompt) : json_(json), prompt_(prompt) {}
  // The next message or command, without blank ones; none at the end of the input or after Ctrl-C (see interrupted).
  // Throws Failure for a line that is not understood.
  std::optional<InputLine> next();

 private:
  bool read_line(std::string& line, const char* prompt);
  std::optional<InputLine> next_text(std::string line);

  bool json_, prompt_;
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_CHAT_INPUT_H
