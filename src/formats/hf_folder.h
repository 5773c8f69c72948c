// A Hugging Face folder (config.json, *.safetensors, tokenizer.json ...) as a ModelSource with the metadata keys,
// tensor names, shapes and numbers of the GGUF conversion of the same model.
#pragma once
#include "formats/model_files.h"
#include "formats/model_source.h"

namespace fastserve {

Result<std::unique_ptr<ModelSource>> open_hf_folder(std::shared_ptr<ModelFiles> files, std::string_view path);

}  // namespace fastserve
