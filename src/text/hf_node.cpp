// Checked look-ups in tokenizer.json.
#include "text/hf_node.h"

#include "base/format.h"

namespace fastserve {

HfNode HfNode::member(std::string_view key) const { return {value_[key], format(where_, ".", key)}; }

HfNode HfNode::element(size_t index) const { return {value_.at(index), format(where_, "[", index, "]")}; }

Status HfNode::corrupt(std::string_view what) const {
  return Status(StatusCode::kCorrupt, format("tokenizer.json: ", where_, ": ", what));
}

Status HfNode::unsupported(std::string_view what) const {
  return Status(StatusCode::kUnsupported, format("tokenizer.json: ", where_, ": ", what, " is not supported"));
}

Status HfNode::unknown() const {
  if (!value_.is_object()) return corrupt("is no object");
  if (type().empty()) return corrupt("has no \"type\"");
  return unsupported(format("the type '", type().substr(0, 64), "'"));
}

Result<std::string> HfNode::text(std::string_view key) const {
  const auto found = value_[key].string();
  if (!found.has_value()) return corrupt(format("\"", key, "\" is missing or no text"));
  return std::string(*found);
}

Result<std::string> HfNode::text_or(std::string_view key, std::string_view fallback) const {
  if (member(key).is_null()) return std::string(fallback);
  return text(key);
}

Result<bool> HfNode::flag(std::string_view key, bool fallback) const {
  if (member(key).is_null()) return fallback;
  const auto found = value_[key].boolean();
  if (!found.has_value()) return corrupt(format("\"", key, "\" is no truth value"));
  return *found;
}

Result<int64_t> HfNode::integer(std::string_view key, int64_t fallback) const {
  if (member(key).is_null()) return fallback;
  const auto found = value_[key].integer();
  if (!found.has_value()) return corrupt(format("\"", key, "\" is no integer"));
  return *found;
}

}  // namespace fastserve
