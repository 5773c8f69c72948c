// From a model's metadata ("tokenizer.*") or the files beside its weights to a tokenizer and a chat template's text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/model_source.h"
#include "text/gguf_tokenizer.h"
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
  // A part of the work, well under a millisecond. True when none is left.
  Result<bool> step();
  std::unique_ptr<Tokenizer> take();
  // A folder's generation_config.json, read on the way; empty where there is none.
  const std::string& generation_config() const { return generation_config_; }

 private:
  static constexpr size_t kPieceBytes = size_t{1} << 16;  // of tokenizer.json
  Status start();
  Status start_folder();
  Status push_piece();
  Result<bool> step_loader();

  const ModelSource& source_;
  bool is_started_ = false;
  std::vector<double> scores_;  // where the source has no such numbers
  std::unique_ptr<GgufTokenizerLoader> from_gguf_;
  std::unique_ptr<HfTokenizerLoader> from_folder_;
  std::unique_ptr<os::File> file_;  // tokenizer.json, until it has been read
  uint64_t position_ = 0;
  std::string piece_, generation_config_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

// All at once.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const ModelSource& source);

// The model's own template; empty when it has none.
Result<std::string> load_chat_template_source(const ModelSource& source);

}  // namespace fastserve
