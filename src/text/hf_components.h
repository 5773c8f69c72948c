// The components of tokenizer.json as parts of a pipeline. What is not supported is refused with its place and type.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "text/hf_node.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace fastserve {

// hf_normalizers.cpp. Null for none.
Result<std::unique_ptr<Normalizer>> read_hf_normalizer(const HfNode& node);

// hf_pre_tokenizers.cpp. Null for none. A last step that writes bytes as printable characters may be left out, for a
// model that looks at the bytes themselves.
Result<std::unique_ptr<PreTokenizer>> read_hf_pre_tokenizer(const HfNode& node, bool leave_out_byte_level);
// Whether the last step is ByteLevel.
bool ends_in_byte_level(const HfNode& node);

// "pattern": {"String": ...} or {"Regex": ...}.
Result<std::unique_ptr<Matcher>> read_hf_pattern(const HfNode& node);

// hf_post_processor.cpp: the ids before and after a text.
struct HfAffixes {
  std::vector<int32_t> prefix, suffix;
};
Result<HfAffixes> read_hf_post_processor(const HfNode& node);

}  // namespace fastserve
