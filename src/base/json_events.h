// JSON as a stream of events, for documents that are too large to hold as a tree. For the tree see json.h.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"

namespace fastserve::json {

// What a document holds, in its order. A failure ends the parse and is passed on.
class Events {
 public:
  virtual ~Events() = default;
  virtual Status begin_object() = 0;
  virtual Status end_object() = 0;
  virtual Status begin_array() = 0;
  virtual Status end_array() = 0;
  virtual Status key(std::string_view name) = 0;
  virtual Status string(std::string_view text) = 0;
  virtual Status number(std::string_view text) = 0;  // as it is written
  virtual Status boolean(bool value) = 0;
  virtual Status null() = 0;
};

// Takes a document in pieces that may be cut anywhere. Strict JSON in UTF-8.
class EventParser {
 public:
  // `events` must outlive the parser.
  EventParser(Events& events, uint32_t depth_max = 64);
  EventParser(EventParser&&) = delete;
  EventParser& operator=(EventParser&&) = delete;
  ~EventParser();
  // kCorrupt says at which byte of the document.
  Status push(std::string_view piece);
  // After the last piece: kCorrupt when the document is not complete.
  Status finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fastserve::json
