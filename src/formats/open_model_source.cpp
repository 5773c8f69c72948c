// Which format lies at a path.
#include "base/format.h"
#include "formats/gguf.h"
#include "formats/model_source.h"

namespace fastserve {

Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path) {
  if (os::is_directory(path)) {
    return guarded([&]() -> Result<std::unique_ptr<ModelSource>> {
      return Status(StatusCode::kUnsupported, format("\"", path, "\" is a folder; a GGUF file is expected"));
    });
  }
  return open_gguf_path(path);
}

}  // namespace fastserve
