// From a model file's metadata ("tokenizer.*") to a tokenizer and a chat template's text.
#pragma once
#include <memory>
#include <string>

#include "base/status.h"
#include "formats/model_source.h"
#include "text/tokenizer.h"

namespace fastserve {

// kNotFound when the file holds no tokenizer, kUnsupported for one that we do not know, kCorrupt when arrays or ids do
// not fit together. That the vocabulary fits the embedding matrix is the model's check.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const ModelSource& source);

// The model's own template; empty when it has none.
Result<std::string> load_chat_template_source(const ModelSource& source);

}  // namespace fastserve
