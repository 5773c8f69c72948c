// A walk over a folder, bounded in depth.
#include "model_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "exit_code.h"

namespace fastserve::cli {

namespace {

namespace fs = std::filesystem;

constexpr int kDepthMax = 4;

std::string utf8(const fs::path& path) {
  const std::u8string text = path.generic_u8string();
  return {text.begin(), text.end()};
}

// "name-00002-of-00005.gguf": what all its parts share; else the whole name.
std::string name_of_parts(const std::string& path) {
  constexpr std::string_view kPattern = "-#####-of-#####.gguf";
  if (path.size() < kPattern.size()) return path;
  const size_t begin = path.size() - kPattern.size();
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const char c = path[begin + i];
    if (kPattern[i] == '#' ? c < '0' || c > '9' : c != kPattern[i]) return path;
  }
  return path.substr(0, begin) + path.substr(begin + 6);
}

bool holds_safetensors(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / "config.json", ignored)) return false;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

void collect(const fs::path& folder, int depth, std::vector<std::string>& found) {
  std::error_code error;
  if (holds_safetensors(folder)) return found.push_back(utf8(folder));
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) {
      if (depth < kDepthMax && !entry.is_symlink(error)) collect(entry.path(), depth + 1, found);
    } else if (entry.path().extension() == ".gguf") {
      found.push_back(utf8(entry.path()));
    }
  }
}

}  // namespace

std::vector<std::string> find_models(const std::string& folder) {
  const fs::path root(std::u8string(folder.begin(), folder.end()));
  std::error_code error;
  const fs::directory_iterator readable(root, error);
  if (error) throw Failure(FSV_ERROR_NOT_FOUND, folder + ": " + error.message());
  std::vector<std::string> found, models;
  collect(root, 0, found);
  std::sort(found.begin(), found.end());  // the first part of a split model comes first
  std::set<std::string> seen;
  for (const std::string& path : found) {
    if (seen.insert(name_of_parts(path)).second) models.push_back(path);
  }
  return models;
}

}  // namespace fastserve::cli
