// "pre_tokenizer" of tokenizer.json.
#include <iterator>
#include <utility>

#include "text/hf_components.h"
#include "text/split_pre_tokenizer.h"
#include "text/unicode.h"
#include "text/word_pre_tokenizers.h"

namespace fastserve {
namespace {

// Patterns that many models share and that exist as code.
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

using Steps = std::vector<std::unique_ptr<PreTokenizer>>;

std::unique_ptr<PreTokenizer> in_sequence(Steps steps) {
  return steps.size() == 1 ? std::move(steps.front()) : create_sequence_pre_tokenizer(std::move(steps));
}

Result<SplitBehavior> read_behavior(const HfNode& node, std::string_view fallback) {
  constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  };
  FSV_ASSIGN(const std::string name, node.text_or("behavior", fallback));
  for (const auto& [known, behavior] : kNames) {
    if (known == name) return behavior;
  }
  return node.unsupported("the behavior '" + name.substr(0, 64) + "'");
}

Result<std::unique_ptr<PreTokenizer>> read_split(const HfNode& node) {
  FSV_ASSIGN(const SplitBehavior behavior, read_behavior(node, ""));
  FSV_ASSIGN(const bool invert, node.flag("invert", false));
  const std::string_view pattern = node.value()["pattern"]["Regex"].string().value_or("");
  // Their matches leave no gaps: to remove what does not match is the same.
  if ((behavior == SplitBehavior::kIsolated && !invert) || (behavior == SplitBehavior::kRemoved && invert)) {
    if (pattern == kGpt2) return create_gpt2_pre_tokenizer();
    if (pattern == kLlama3) return create_llama3_pre_tokenizer(3);
    if (pattern == kQwen2) return create_llama3_pre_tokenizer(1);
  }
  FSV_ASSIGN(std::unique_ptr<Matcher> matcher, read_hf_pattern(node));
  return create_split_pre_tokenizer(std::move(matcher), behavior, invert);
}

bool is_one_character(std::string_view text) {
  return !text.empty() && unicode::read_valid(text.data()).size_bytes == text.size();
}

Result<std::unique_ptr<PreTokenizer>> read_metaspace(const HfNode& node) {
  FSV_ASSIGN(std::string mark, node.text("replacement"));
  if (!is_one_character(mark)) return node.corrupt("\"replacement\" is not one character");
  FSV_ASSIGN(const std::string name, node.text_or("prepend_scheme", "always"));
  FSV_ASSIGN(const bool prefix, node.flag("add_prefix_space", true));
  FSV_ASSIGN(const bool split, node.flag("split", true));
  PrependScheme scheme = PrependScheme::kAlways;
  if (name == "never" || !prefix) {
    scheme = PrependScheme::kNever;
  } else if (name == "first") {
    scheme = PrependScheme::kFirst;
  } else if (name != "always") {
    return node.unsupported("the prepend_scheme '" + name.substr(0, 64) + "'");
  }
  return create_metaspace_pre_tokenizer(std::move(mark), scheme, split);
}

Result<std::unique_ptr<PreTokenizer>> read_byte_level(const HfNode& node, bool leave_out) {
  FSV_ASSIGN(const bool prefix, node.flag("add_prefix_space", true));
  FSV_ASSIGN(const bool pattern, node.flag("use_regex", true));
  Steps steps;
  if (prefix) steps.push_back(create_space_prefix_pre_tokenizer());
  if (pattern) steps.push_back(create_gpt2_pre_tokenizer());
  if (!leave_out) steps.push_back(create_byte_level_pre_tokenizer());
  return in_sequence(std::move(steps));
}

Result<std::unique_ptr<PreTokenizer>> read_delimiter(const HfNode& node) {
  FSV_ASSIGN(std::string delimiter, node.text("delimiter"));
  if (!is_one_character(delimiter)) return node.corrupt("\"delimiter\" is not one character");
  return create_split_pre_tokenizer(create_literal_matcher(std::move(delimiter)), SplitBehavior::kRemoved, false);
}

Result<std::unique_ptr<PreTokenizer>> read_step(const HfNode& node, bool leave_out_byte_level);

Result<std::unique_ptr<PreTokenizer>> read_sequence(const HfNode& node, bool leave_out_byte_level) {
  const HfNode list = node.member("pretokenizers");
  if (!list.value().is_array()) return node.corrupt("\"pretokenizers\" is no list");
  Steps steps;
  for (size_t i = 0; i < list.value().size(); ++i) {
    FSV_ASSIGN(auto step, read_step(list.element(i), leave_out_byte_level && i + 1 == list.value().size()));
    steps.push_back(std::move(step));
  }
  return in_sequence(std::move(steps));
}

Result<std::unique_ptr<PreTokenizer>> read_step(const HfNode& node, bool leave_out_byte_level) {
  const std::string_view type = node.type();
  if (type == "Sequence") return read_sequence(node, leave_out_byte_level);
  if (type == "ByteLevel") return read_byte_level(node, leave_out_byte_level);
  if (type == "Split") return read_split(node);
  if (type == "Metaspace") return read_metaspace(node);
  if (type == "BertPreTokenizer") return create_bert_pre_tokenizer();
  if (type == "Whitespace") return create_word_pre_tokenizer();
  if (type == "WhitespaceSplit") return create_white_space_pre_tokenizer();
  if (type == "CharDelimiterSplit") return read_delimiter(node);
  if (type == "Digits") {
    FSV_ASSIGN(const bool individual, node.flag("individual_digits", false));
    return create_digits_pre_tokenizer(individual);
  }
  if (type == "Punctuation") {
    FSV_ASSIGN(const SplitBehavior behavior, read_behavior(node, "Isolated"));
    return create_punctuation_pre_tokenizer(behavior);
  }
  if (type == "FixedLength") {
    FSV_ASSIGN(const int64_t length, node.integer("length", 5));
    if (length <= 0) return node.corrupt("\"length\" is not positive");
    return create_fixed_length_pre_tokenizer(static_cast<size_t>(length));
  }
  return node.unknown();
}

}  // namespace

bool ends_in_byte_level(const HfNode& node) {
  const HfNode list = node.member("pretokenizers");
  if (node.type() == "Sequence" && list.value().size() > 0) {
    return ends_in_byte_level(list.element(list.value().size() - 1));
  }
  return node.type() == "ByteLevel";
}

Result<std::unique_ptr<PreTokenizer>> read_hf_pre_tokenizer(const HfNode& node, bool leave_out_byte_level) {
  if (node.is_null()) return std::unique_ptr<PreTokenizer>();
  return read_step(node, leave_out_byte_level);
}

}  // namespace fastserve
