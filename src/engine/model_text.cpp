// The tokeniser takes nearly all the time.
#include "engine/model_text.h"

#include "engine/default_sampling.h"
#include "engine/model_facts.h"

namespace fastserve {

Result<bool> ModelTextLoad::step() {
  if (model_.tokenizer != nullptr) {
    FSV_TRY(finish());
    return true;
  }
  FSV_ASSIGN(const bool done, tokenizer_.step());
  if (done) model_.tokenizer = tokenizer_.take();
  return false;
}

Status ModelTextLoad::finish() {
  FSV_ASSIGN(const std::string text, load_chat_template_source(source_));
  const Tokenizer& tokenizer = *model_.tokenizer;
  describe_tokenizer(tokenizer, model_.facts);
  model_.default_sampling = read_default_sampling(source_, tokenizer_.generation_config());
  auto created = create_chat_template(text, template_options(tokenizer));
  if (!created.ok() && created.status().code() == StatusCode::kOutOfMemory) return created.status();
  // A template that does not parse refuses to render; the model runs without it.
  model_.chat_template = created.ok() ? created.take() : broken_chat_template(created.status());
  return {};
}

Status load_model_text(const ModelSource& source, LoadedModel& model) {
  ModelTextLoad load(source, model);
  for (bool done = false; !done;) {
    FSV_ASSIGN(done, load.step());
  }
  return {};
}

}  // namespace fastserve
