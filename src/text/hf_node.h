// A component in tokenizer.json with its place there, for messages that name both.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace fastserve {

class HfNode {
 public:
  HfNode(json::Value value, std::string where) : value_(value), where_(std::move(where)) {}

  json::Value value() const { return value_; }
  bool is_null() const { return !value_.present() || value_.kind() == json::Kind::kNull; }
  std::string_view type() const { return value_["type"].string().value_or(""); }
  HfNode member(std::string_view key) const;
  HfNode element(size_t index) const;

  // kCorrupt when a member is missing (without a fallback) or of another type; null counts as missing.
  Result<std::string> text(std::string_view key) const;
  Result<std::string> text_or(std::string_view key, std::string_view fallback) const;
  Result<bool> flag(std::string_view key, bool fallback) const;
  Result<int64_t> integer(std::string_view key, int64_t fallback) const;

  Status corrupt(std::string_view what) const;
  // `what` completes "<place>: ".
  Status unsupported(std::string_view what) const;
  // The component itself: its type is not known.
  Status unknown() const;

 private:
  json::Value value_;
  std::string where_;
};

}  // namespace fastserve
