// "post_processor" of tokenizer.json, for single texts.
#include <iterator>

#include "text/hf_components.h"

namespace fastserve {
namespace {

Result<int32_t> read_id(const HfNode& node) {
  const auto id = node.value().integer();
  if (!id.has_value() || *id < 0 || *id > INT32_MAX) return node.corrupt("is no token id");
  return static_cast<int32_t>(*id);
}

// "[CLS] $A [SEP]" as a list of pieces.
Result<HfAffixes> read_template(const HfNode& node) {
  const HfNode single = node.member("single"), tokens = node.member("special_tokens");
  HfAffixes affixes;
  bool in_suffix = false;
  for (size_t i = 0; i < single.value().size(); ++i) {
    const HfNode piece = single.element(i);
    if (piece.value()["Sequence"].is_object()) {
      if (in_suffix || piece.value()["Sequence"]["id"].string() != "A") {
        return piece.unsupported("a template without exactly one text");
      }
      in_suffix = true;
      continue;
    }
    FSV_ASSIGN(const std::string name, piece.member("SpecialToken").text("id"));
    const HfNode ids = tokens.member(name).member("ids");
    if (!ids.value().is_array()) return ids.corrupt("is missing");
    for (size_t k = 0; k < ids.value().size(); ++k) {
      FSV_ASSIGN(const int32_t id, read_id(ids.element(k)));
      (in_suffix ? affixes.suffix : affixes.prefix).push_back(id);
    }
  }
  if (!in_suffix) return single.unsupported("a template without exactly one text");
  return affixes;
}

// "cls": [text, id], "sep": [text, id].
Result<HfAffixes> read_pair(const HfNode& node) {
  FSV_ASSIGN(const int32_t first, read_id(node.member("cls").element(1)));
  FSV_ASSIGN(const int32_t last, read_id(node.member("sep").element(1)));
  return HfAffixes{{first}, {last}};
}

// Each step puts its ids around what those before it made.
Result<HfAffixes> read_sequence(const HfNode& node) {
  const HfNode list = node.member("processors");
  if (!list.value().is_array()) return node.corrupt("\"processors\" is no list");
  HfAffixes all;
  for (size_t i = 0; i < list.value().size(); ++i) {
    FSV_ASSIGN(HfAffixes step, read_hf_post_processor(list.element(i)));
    step.prefix.insert(step.prefix.end(), all.prefix.begin(), all.prefix.end());
    all.prefix = std::move(step.prefix);
    all.suffix.insert(all.suffix.end(), step.suffix.begin(), step.suffix.end());
  }
  return all;
}

}  // namespace

Result<HfAffixes> read_hf_post_processor(const HfNode& node) {
  if (node.is_null()) return HfAffixes();
  const std::string_view type = node.type();
  if (type == "Sequence") return read_sequence(node);
  if (type == "TemplateProcessing") return read_template(node);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_pair(node);
  if (type == "ByteLevel") return HfAffixes();  // it only narrows offsets
  return node.unknown();
}

}  // namespace fastserve
