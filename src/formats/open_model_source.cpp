// Which format lies at a path.
#include "formats/gguf.h"
#include "formats/hf_folder.h"
#include "formats/model_source.h"

namespace fastserve {

Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path) {
  if (os::is_directory(path)) return open_hf_folder(path);
  return open_gguf_path(path);
}

}  // namespace fastserve
