// Boost.JSON's incremental parser; strings and numbers that lie across pieces are put together here.
#include "base/json_events.h"

#include <boost/json/basic_parser_impl.hpp>
#include <string>

#include "base/format.h"

namespace fastserve::json {
namespace {

using boost::json::error_code;
using boost::json::string_view;

// The names and signatures that basic_parser calls.
struct Handler {
  static constexpr std::size_t max_object_size = SIZE_MAX, max_array_size = SIZE_MAX;
  static constexpr std::size_t max_key_size = SIZE_MAX, max_string_size = SIZE_MAX;

  explicit Handler(Events& target) : events(target) {}

  Events& events;
  Status failure;
  std::string pending;

  bool pass(Status status, error_code& error) {
    if (status.ok()) return true;
    failure = std::move(status);
    error = boost::json::error::incomplete;  // any: the failure says what it is
    return false;
  }
  // The whole text: `last` alone, or what was kept of it and `last`.
  std::string_view join(string_view last) {
    if (pending.empty()) return {last.data(), last.size()};
    pending.append(last.data(), last.size());
    return pending;
  }
  bool keep(string_view part) {
    pending.append(part.data(), part.size());
    return true;
  }
  bool pass_text(Status status, error_code& error) {
    pending.clear();
    return pass(std::move(status), error);
  }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& error) { return pass(events.begin_object(), error); }
  bool on_object_end(std::size_t, error_code& error) { return pass(events.end_object(), error); }
  bool on_array_begin(error_code& error) { return pass(events.begin_array(), error); }
  bool on_array_end(std::size_t, error_code& error) { return pass(events.end_array(), error); }
  bool on_key_part(string_view part, std::size_t, error_code&) { return keep(part); }
  bool on_key(string_view last, std::size_t, error_code& error) { return pass_text(events.key(join(last)), error); }
  bool on_string_part(string_view part, std::size_t, error_code&) { return keep(part); }
  bool on_string(string_view last, std::size_t, error_code& error) {
    return pass_text(events.string(join(last)), error);
  }
  bool on_number_part(string_view part, error_code&) { return keep(part); }
  bool on_int64(std::int64_t, string_view last, error_code& error) {
    return pass_text(events.number(join(last)), error);
  }
  bool on_uint64(std::uint64_t, string_view last, error_code& error) {
    return pass_text(events.number(join(last)), error);
  }
  bool on_double(double, string_view last, error_code& error) { return pass_text(events.number(join(last)), error); }
  bool on_bool(bool value, error_code& error) { return pass(events.boolean(value), error); }
  bool on_null(error_code& error) { return pass(events.null(), error); }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }
};

boost::json::parse_options options_of(uint32_t depth_max) {
  boost::json::parse_options options;
  options.max_depth = depth_max;
  return options;
}

}  // namespace

struct EventParser::State {
  State(Events& events, uint32_t depth_max) : parser(options_of(depth_max), events) {}
  boost::json::basic_parser<Handler> parser;
  uint64_t bytes_done = 0;
};

EventParser::EventParser(Events& events, uint32_t depth_max) : state_(std::make_unique<State>(events, depth_max)) {}
EventParser::~EventParser() = default;

Status EventParser::push(std::string_view piece) {
  if (state_->bytes_done == 0 && piece.substr(0, 3) == "\xef\xbb\xbf") piece.remove_prefix(3);  // a byte order mark
  error_code error;
  const size_t used = state_->parser.write_some(true, piece.data(), piece.size(), error);
  state_->bytes_done += used;
  if (!error && used < piece.size()) error = boost::json::error::extra_data;
  if (!error) return {};
  Status& failure = state_->parser.handler().failure;
  if (!failure.ok()) return std::move(failure);
  return Status(StatusCode::kCorrupt, format("byte ", state_->bytes_done, ": ", error.message()));
}

Status EventParser::finish() {
  error_code error;
  state_->parser.write_some(false, nullptr, 0, error);
  if (!error && !state_->parser.done()) error = boost::json::error::incomplete;
  if (!error) return {};
  Status& failure = state_->parser.handler().failure;
  if (!failure.ok()) return std::move(failure);
  return Status(StatusCode::kCorrupt, format("byte ", state_->bytes_done, ": ", error.message()));
}

}  // namespace fastserve::json
