// fastserve tokenize: token ids of each line of a text. Lines end at LF alone; a CR stays part of its line.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "console.h"
#include "json_writer.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

struct TokenizeOptions {
  EngineOptions engine;
  std::string file = "-";
  bool special = false;
  bool json = false;
};

std::string ids_text(const std::vector<int32_t>& ids, bool json) {
  if (json) {
    JsonWriter out;
    out.value(std::span<const int32_t>(ids));
    return out.text() + "\n";
  }
  std::string line;
  for (const int32_t id : ids) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  return line + '\n';
}

int tokenize_lines(const TokenizeOptions& options) {
  const std::string text = read_input(options.file);
  const EngineSession session(options.engine);
  const uint32_t flags = options.special ? FSV_TOKENIZE_PARSE_SPECIAL : 0;
  std::string out;
  size_t line_number = 1;
  for (std::string_view rest = text; !rest.empty(); ++line_number) {
    if (interrupted()) throw Failure(FSV_ERROR_CANCELLED, "interrupted");
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    try {
      out += ids_text(session.tokenize(line, flags), options.json);
    } catch (const Failure& failure) {
      print(out);
      throw Failure(failure.status(), "line " + std::to_string(line_number) + ": " + failure.what());
    }
    if (out.size() > 65536) {
      print(out);
      out.clear();
    }
  }
  print(out);
  return kExitOk;
}

}  // namespace

void add_tokenize(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<TokenizeOptions>();
  options->engine.text_only = true;  // nothing is computed: weights need not be read
  options->engine.threads = 1;
  CLI::App* command = program.add_subcommand("tokenize", "token ids of each line of a text, without BOS");
  command->add_option("--model", options->engine.model, "model file (GGUF)")->required();
  command->add_option("--file", options->file, "UTF-8 text; - is standard input")->capture_default_str();
  command->add_flag("--special", options->special, "recognise special tokens; else their text is plain text");
  command->add_flag("--json", options->json, "an array of ids on each line");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return tokenize_lines(*options); };
  });
}

}  // namespace fastserve::cli
