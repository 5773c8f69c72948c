// From a model's metadata ("tokenizer.*") or the files beside its weights to a tokenizer and a chat template's text.
#pragma once
#include <memory>
#include <string>

#include "base/status.h"
#include "formats/model_source.h"
#include "text/hf_tokenizer.h"
#include "text/tokenizer.h"

namespace fastserve {

// kNotFound when the model comes without a tokenizer, kUnsupported for one that we do not know, kCorrupt when arrays or
// ids do not fit together, or tokens and embeddings do not: both counts are named. A folder's model may have more
// embeddings than tokens; the ids between stand for nothing.
class TokenizerLoad {
 public:
  // `source` must outlive the load.
  explicit TokenizerLoad(const ModelSource& source);
  ~TokenizerLoad();
  // A part of the work: some milliseconds for a folder, all of it for a GGUF file. True when none is left.
  Result<bool> step();
  std::unique_ptr<Tokenizer> take();

 private:
  static constexpr size_t kPieceBytes = size_t{1} << 19;
  Status start();

  const ModelSource& source_;
  std::unique_ptr<HfTokenizerLoader> loader_;
  std::string text_;  // tokenizer.json
  size_t position_ = 0;
  std::unique_ptr<Tokenizer> tokenizer_;
};

// All at once.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const ModelSource& source);

// The model's own template; empty when it has none.
Result<std::string> load_chat_template_source(const ModelSource& source);

}  // namespace fastserve
