// Which format lies at a path.
#include "formats/gguf.h"
#include "formats/hf_folder.h"
#include "formats/model_source.h"

namespace fastserve {

Result<std::unique_ptr<ModelSource>> open_model_source(const std::shared_ptr<ModelFiles>& files,
                                                       std::string_view path) {
  if (files->is_folder(path)) return open_hf_folder(files, path);
  return open_gguf_path(*files, path);
}

Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path) {
  return open_model_source(system_files(), path);
}

}  // namespace fastserve
