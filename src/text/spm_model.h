// SentencePiece's BPE: pieces merge by their scores, characters that no piece covers become bytes.
#pragma once
#include <memory>
#include <vector>

#include "base/status.h"
#include "text/token_model.h"

namespace fastserve {

// `scores` has one for each token; `byte_ids` the tokens of single bytes, -1: none.
std::unique_ptr<TokenModel> create_spm_model(std::shared_ptr<const Vocabulary> vocabulary,
                                             const std::vector<float>& scores, const std::vector<int32_t>& byte_ids,
                                             int32_t unknown_id);

}  // namespace fastserve
