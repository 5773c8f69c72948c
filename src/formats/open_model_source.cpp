// Which format lies at a path.
#include "formats/gguf.h"
#include "formats/hf_folder.h"
#include "formats/model_source.h"

namespace fastserve {

Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path) {
  if (os::is_directory(path)) return open_hf_folder(path);
  return open_gguf_path(path);
}

Result<os::File::Identity> model_identity(std::string_view path) {
  std::string file(path);
  if (os::is_directory(path)) {
    for (const char* name : {"/model.safetensors", "/model.safetensors.index.json"}) {
      Result<std::unique_ptr<os::File>> found = os::open_file(file + name);
      if (found.ok()) return (*found)->identity();
    }
    file += "/config.json";  // its absence is the error to report
  }
  FSV_ASSIGN(const std::unique_ptr<os::File> opened, os::open_file(file));
  return opened->identity();
}

}  // namespace fastserve
