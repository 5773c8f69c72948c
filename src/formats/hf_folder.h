// A Hugging Face folder (config.json, *.safetensors, tokenizer.json ...) as a ModelSource with the metadata keys,
// tensor names, shapes and numbers of the GGUF conversion of the same model.
#pragma once
#include "formats/model_files.h"
#include "formats/model_source.h"

namespace fastserve {

// A shard in each piece.
std::unique_ptr<SourceOpening> begin_opening_hf_folder(std::shared_ptr<ModelFiles> files, std::string_view path);

}  // namespace fastserve
