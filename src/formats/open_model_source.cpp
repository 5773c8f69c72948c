// Which format lies at a path.
#include "formats/gguf.h"
#include "formats/hf_folder.h"
#include "formats/model_source.h"

namespace fastserve {

Result<std::unique_ptr<SourceOpening>> begin_opening(const std::shared_ptr<ModelFiles>& files, std::string_view path) {
  return guarded([&]() -> Result<std::unique_ptr<SourceOpening>> {
    return files->is_folder(path) ? begin_opening_hf_folder(files, path) : begin_opening_gguf(*files, path);
  });
}

Result<std::unique_ptr<ModelSource>> finish_opening(SourceOpening& opening) {
  for (bool done = false; !done;) {
    FSV_ASSIGN(done, opening.step());
  }
  return opening.take();
}

Result<std::unique_ptr<ModelSource>> open_model_source(const std::shared_ptr<ModelFiles>& files,
                                                       std::string_view path) {
  FSV_ASSIGN(const std::unique_ptr<SourceOpening> opening, begin_opening(files, path));
  return finish_opening(*opening);
}

Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path) {
  return open_model_source(system_files(), path);
}

}  // namespace fastserve
