// Which models lie in a folder: GGUF files, split ones once, and folders with safetensors.
#ifndef FASTSERVE_CLI_MODEL_FOLDER_H
#define FASTSERVE_CLI_MODEL_FOLDER_H

#include <string>
#include <vector>

namespace fastserve::cli {

// Paths that a load takes, sorted, of what lies in `folder` and a few levels below it. Throws Failure where it cannot
// be read.
std::vector<std::string> find_models(const std::string& folder);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_MODEL_FOLDER_H
