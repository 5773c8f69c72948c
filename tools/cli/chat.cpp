// fastserve chat: a conversation. All of it goes to the model with every message; a session keeps what was computed.
#include <algorithm>
#include <memory>
#include <string>

#include "chat_input.h"
#include "chat_output.h"
#include "commands.h"
#include "console.h"
#include "conversation.h"
#include "generation.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

constexpr const char* kHelp =
    "/save FILE    write the conversation as JSON        /load FILE    go on with a saved one\n"
    "/system TEXT  set the system message; without: none /reset        forget all but the system message\n"
    "/undo         take the last message back            /help         this\n"
    "/quit         leave; so does the end of the input\n"
    "A line that ends with \\ goes on in the next one; \"\"\" opens and closes a message of many lines; a message may\n"
    "begin with a slash if it is written twice. Ctrl-C stops an answer, and leaves where there is none.";

constexpr uint32_t kContextDefaultMax = 8192;  // of the library, where the engine is given none

struct ChatOptions {
  EngineOptions engine;
  GenerationOptions generation;
  std::string system, load;
  bool drop_oldest = false;
  bool json = false;
};

class Chat {
 public:
  explicit Chat(const ChatOptions& options) : options_(options), session_(options.engine), output_(options.json) {
    if (session_.info().has_chat_template == 0) {
      throw Failure(FSV_ERROR_TEMPLATE, options.engine.model + ": the model has no chat template; see run --raw");
    }
    if (!options.load.empty()) conversation_.load(parse_messages(read_input(options.load), options.load));
    if (!options.system.empty()) conversation_.set_system(options.system);
    fsv_error error;
    check(fsv_session_create(session_.engine(), session_.model(), &kept_, &error), error);
  }

  ~Chat() { fsv_session_release(kept_, nullptr); }
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  int run() {
    const bool is_watched = stdin_is_terminal();
    output_.ready(session_, options_.engine.model);
    ChatInput input(options_.json, is_watched && !options_.json);
    int first_failure = kExitOk;
    for (bool go_on = true; go_on;) {
      try {
        const std::optional<InputLine> line = input.next();
        if (!line) break;
        go_on = line->is_command ? obey(line->text) : reply(line->text);
      } catch (const Failure& failure) {
        output_.failed(failure);
        if (first_failure == kExitOk) first_failure = failure.code();
      }
    }
    if (is_watched && !options_.json) note("");
    if (interrupted()) return kExitInterrupted;
    return is_watched ? kExitOk : first_failure;
  }

 private:
  // Both: false to leave.
  bool obey(const std::string& line);
  bool reply(const std::string& text);
  size_t make_room();
  fsv_request submit();
  uint32_t context_tokens() const;

  const ChatOptions& options_;
  EngineSession session_;
  ChatOutput output_;
  Conversation conversation_;
  fsv_session* kept_ = nullptr;  // what was computed for the conversation until now
};

bool Chat::obey(const std::string& line) {
  const size_t space = line.find(' ');
  const std::string command = line.substr(0, space);
  const size_t begin = space == std::string::npos ? space : line.find_first_not_of(' ', space);
  const std::string argument = begin == std::string::npos ? std::string() : line.substr(begin);
  const auto file = [&] {
    if (argument.empty()) throw Failure(FSV_ERROR_INVALID_ARGUMENT, command + " needs the name of a file");
    return argument;
  };
  std::string remark;
  if (command == "/quit") return false;
  if (command == "/help") {
    remark = kHelp;
  } else if (command == "/save") {
    write_output(file(), conversation_.saved_json());
    remark = std::to_string(conversation_.size()) + " messages saved";
  } else if (command == "/load") {
    conversation_.load(parse_messages(read_input(file()), argument));
    remark = std::to_string(conversation_.size()) + " messages loaded";
  } else if (command == "/reset") {
    conversation_.reset();
  } else if (command == "/system") {
    conversation_.set_system(argument);
  } else if (command == "/undo") {
    if (!conversation_.undo()) throw Failure(FSV_ERROR_INVALID_ARGUMENT, "there is no message to take back");
  } else {
    throw Failure(FSV_ERROR_INVALID_ARGUMENT, command + " is no command; /help lists them");
  }
  output_.command_done(command, remark);
  return true;
}

bool Chat::reply(const std::string& text) {
  conversation_.add("user", text);
  Answer answer;
  size_t skipped = 0;
  try {
    if (options_.drop_oldest) skipped = make_room();
    answer = collect_answer(session_, submit(), [&](std::string_view piece) { output_.piece(piece); });
  } catch (const Failure&) {
    conversation_.drop_end();  // as if it had not been said
    throw;
  }
  if (answer.text.empty() && answer.finish_reason == FSV_FINISH_CANCELLED) {
    conversation_.drop_end();
  } else {
    conversation_.add("assistant", answer.text);
  }
  const bool context_is_full =
      answer.finish_reason == FSV_FINISH_LENGTH && answer.token_ids.size() < options_.generation.max_tokens;
  output_.answered(answer, skipped, context_is_full);
  if (answer.finish_reason == FSV_FINISH_CANCELLED) forget_interrupts();
  return true;
}

uint32_t Chat::context_tokens() const {
  if (options_.engine.context != 0) return options_.engine.context;
  return std::min(session_.info().context_tokens, kContextDefaultMax);
}

// Leaves out the oldest turns until there is room for an answer; how many messages are left out now.
size_t Chat::make_room() {
  const uint32_t context = context_tokens(), answer = std::min(options_.generation.max_tokens, context / 2);
  while (session_.chat_tokenize(conversation_.sent()).size() + answer > context) {
    if (!conversation_.skip_oldest_turn()) break;
  }
  return conversation_.skipped();
}

fsv_request Chat::submit() {
  const std::string messages = conversation_.sent_json();
  fsv_chat chat;
  fsv_chat_init(&chat, sizeof(chat));
  chat.messages_json = {messages.data(), messages.size()};
  GenerationConfig config(options_.generation, session_);
  config->session = kept_;
  fsv_request request = 0;
  fsv_error error;
  const fsv_status status = fsv_submit_chat(session_.engine(), session_.model(), &chat, config.get(), &request, &error);
  if (status == FSV_ERROR_CONTEXT_TOO_LONG) {
    throw Failure(status, std::string(error.message, error.message_size) +
                              "; /undo or /reset makes room, --drop-oldest does by itself, --context sets its size");
  }
  check(status, error);
  return request;
}

}  // namespace

void add_chat(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<ChatOptions>();
  options->engine.max_sequences = 1;
  CLI::App* command = program.add_subcommand("chat", "talk with a model; /help there lists its commands");
  add_engine_options(*command, options->engine);
  command->add_option("--context", options->engine.context, "longest conversation in tokens; 0: the model's own");
  command->add_option("--system", options->system, "system message (default: the template's own)");
  command->add_option("--load", options->load, "go on with a saved conversation");
  command->add_flag("--drop-oldest", options->drop_oldest, "where the context is full, the oldest turns are left out");
  add_generation_options(*command, options->generation);
  command->add_flag("--json", options->json, "one JSON object a line, in and out");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return Chat(*options).run(); };
  });
}

}  // namespace fastserve::cli
