// GGUF files by path.
#pragma once
#include "formats/model_files.h"
#include "formats/model_source.h"

namespace fastserve {

// A GGUF file, or any one part of a split model, whose other parts lie beside it.
Result<std::unique_ptr<ModelSource>> open_gguf_path(ModelFiles& files, std::string_view path);

}  // namespace fastserve
