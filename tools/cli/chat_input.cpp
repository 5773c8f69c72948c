// Lines from standard input, put together to messages.
#include "chat_input.h"

#include <cstdio>

#include "console.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

constexpr std::string_view kFence = "\"\"\"";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

}  // namespace

bool ChatInput::read_line(std::string& line, const char* prompt) {
  if (prompt_) print(prompt);
  line.clear();
  char chunk[4096];
  while (std::fgets(chunk, sizeof chunk, stdin) != nullptr) {  // Ctrl-C ends a read that waits
    line += chunk;
    if (line.ends_with('\n')) {
      line.pop_back();
      if (line.ends_with('\r')) line.pop_back();
      return true;
    }
  }
  return !interrupted() && !line.empty();
}

std::optional<InputLine> ChatInput::next() {
  std::string line;
  while (read_line(line, "> ")) {
    if (is_blank(line)) continue;
    return json_ ? parse_input_line(line) : next_text(std::move(line));
  }
  return std::nullopt;
}

std::optional<InputLine> ChatInput::next_text(std::string line) {
  if (line.starts_with("//")) return InputLine{false, line.substr(1)};
  if (line.starts_with('/')) return InputLine{true, std::move(line)};
  if (line.starts_with(kFence)) {
    std::string text = line.substr(kFence.size());
    while (!text.ends_with(kFence)) {
      if (!read_line(line, "... ")) return std::nullopt;
      if (!text.empty()) text += '\n';
      text += line;
    }
    text.resize(text.size() - kFence.size());
    if (text.ends_with('\n')) text.pop_back();
    return InputLine{false, std::move(text)};
  }
  std::string text = std::move(line);
  while (text.ends_with('\\')) {
    text.back() = '\n';
    if (!read_line(line, "... ")) break;
    text += line;
  }
  return InputLine{false, std::move(text)};
}

}  // namespace fastserve::cli
