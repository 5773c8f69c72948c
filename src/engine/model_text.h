// The part of a model that makes text of tokens and tokens of text: tokeniser, chat template, and the sampling that it
// asks for.
#pragma once
#include "engine/loaded_model.h"
#include "engine/tokenizer_loading.h"
#include "formats/model_source.h"

namespace fastserve {

// Fills in a model's text in pieces, with what it adds to the model's facts.
class ModelTextLoad {
 public:
  // Both must outlive the load.
  ModelTextLoad(const ModelSource& source, LoadedModel& model) : source_(source), model_(model), tokenizer_(source) {}
  // The next piece, well under a millisecond. True when none is left.
  Result<bool> step();

 private:
  Status finish();

  const ModelSource& source_;
  LoadedModel& model_;
  TokenizerLoad tokenizer_;
};

// All at once.
Status load_model_text(const ModelSource& source, LoadedModel& model);

}  // namespace fastserve
