// JSON that `chat` reads: saved conversations, and the lines of a program that drives it.
#ifndef FASTSERVE_CLI_CHAT_JSON_H
#define FASTSERVE_CLI_CHAT_JSON_H

#include <string>
#include <string_view>
#include <vector>

namespace fastserve::cli {

// A message; `json` is its whole object: keys beside role and content (tool_calls, name) reach the template too.
struct Message {
  std::string role, content;
  std::string json;
};

Message make_message(std::string_view role, std::string_view content);
// An array of objects, each with a string "role"; or an object with such an array under "messages". Throws Failure
// that names `where`.
std::vector<Message> parse_messages(std::string_view json, const std::string& where);

// {"message": "..."} or {"command": "/save file"}.
struct InputLine {
  bool is_command = false;
  std::string text;
};
InputLine parse_input_line(std::string_view json);  // throws Failure

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_CHAT_JSON_H
