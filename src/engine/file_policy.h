// Where the library may write: one folder that the host names, or nowhere. Every file that the library creates is
// created here.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/output_file.h"

namespace fastserve {

// kWrongState without a folder; the name is checked (check_file_name).
Result<std::unique_ptr<os::OutputFile>> create_file(const std::string& write_folder, std::string_view name);

}  // namespace fastserve
