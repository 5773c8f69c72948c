// GGUF files by path.
#pragma once
#include "formats/model_files.h"
#include "formats/model_source.h"

namespace fastserve {

// A GGUF file, or any one part of a split model, whose other parts lie beside it. `files` must outlive the opening.
std::unique_ptr<SourceOpening> begin_opening_gguf(ModelFiles& files, std::string_view path);

}  // namespace fastserve
