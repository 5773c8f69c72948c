// The one file of the program that compiles Boost.JSON (header-only).
#include "chat_json.h"

#include <boost/json/src.hpp>

#include "exit_code.h"
#include "json_writer.h"

namespace fastserve::cli {

namespace {

boost::json::value parse(std::string_view json, const std::string& where) {
  boost::system::error_code error;
  boost::json::value parsed = boost::json::parse({json.data(), json.size()}, error);
  if (error) throw Failure(FSV_ERROR_INVALID_ARGUMENT, where + " is not JSON: " + error.message());
  return parsed;
}

const boost::json::string* string_member(const boost::json::object& object, std::string_view key) {
  const boost::json::value* member = object.if_contains({key.data(), key.size()});
  return member != nullptr ? member->if_string() : nullptr;
}

std::string text_of(const boost::json::string& text) { return {text.data(), text.size()}; }

}  // namespace

Message make_message(std::string_view role, std::string_view content) {
  JsonWriter out;
  out.begin_object().member("role", role).member("content", content).end_object();
  return {std::string(role), std::string(content), out.text()};
}

std::vector<Message> parse_messages(std::string_view json, const std::string& where) {
  const boost::json::value root = parse(json, where);
  const boost::json::value* list = &root;
  if (const auto* object = root.if_object()) list = object->if_contains("messages");
  const auto* array = list != nullptr ? list->if_array() : nullptr;
  if (array == nullptr) {
    throw Failure(FSV_ERROR_INVALID_ARGUMENT, where + " holds no array of messages");
  }
  std::vector<Message> messages;
  for (const boost::json::value& element : *array) {
    const auto* object = element.if_object();
    const auto* role = object != nullptr ? string_member(*object, "role") : nullptr;
    if (role == nullptr) {
      throw Failure(FSV_ERROR_INVALID_ARGUMENT,
                    where + ": message " + std::to_string(messages.size() + 1) + " is no object with a role");
    }
    const auto* content = string_member(*object, "content");
    messages.push_back(
        {text_of(*role), content != nullptr ? text_of(*content) : std::string(), boost::json::serialize(element)});
  }
  return messages;
}

InputLine parse_input_line(std::string_view json) {
  const boost::json::value root = parse(json, "the line");
  if (const auto* object = root.if_object(); object != nullptr && object->size() == 1) {
    if (const auto* message = string_member(*object, "message")) return {false, text_of(*message)};
    if (const auto* command = string_member(*object, "command")) return {true, text_of(*command)};
  }
  throw Failure(FSV_ERROR_INVALID_ARGUMENT, "the line is neither {\"message\": \"...\"} nor {\"command\": \"...\"}");
}

}  // namespace fastserve::cli
