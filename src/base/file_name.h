// Names of files that the library creates for its host.
#pragma once
#include <string>
#include <string_view>

#include "base/status.h"

namespace fastserve {

constexpr size_t kFileNameBytesMax = 200;  // leaves room for what a file is called until it is complete

// Whether `name` is a plain file name, which leads out of no folder and which every system accepts: UTF-8, no
// separator, drive, stream or wildcard, no device of Windows ("nul.txt"), no end that Windows drops, no ".part".
Status check_file_name(std::string_view name);

// What a file of that name is called until it is complete.
std::string partial_file_name(std::string_view name);

}  // namespace fastserve
