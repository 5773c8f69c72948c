// The host's folder and a plain name, or nothing.
#include "engine/file_policy.h"

#include "base/file_name.h"

namespace fastserve {

Result<std::unique_ptr<os::OutputFile>> create_file(const std::string& write_folder, std::string_view name) {
  if (write_folder.empty()) {
    return Status::from_literal(StatusCode::kWrongState,
                                "this engine may write no files: fsv_engine_config.write_folder names no folder");
  }
  FSV_TRY(check_file_name(name));
  return os::create_output_file(write_folder, name);
}

}  // namespace fastserve
