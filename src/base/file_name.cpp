// One set of rules for all systems, so that what a host calls its files on one works on the others.
#include "base/file_name.h"

#include <algorithm>

#include "base/format.h"
#include "base/utf8.h"

namespace fastserve {
namespace {

constexpr std::string_view kPartialEnding = ".part";

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool is_partial(std::string_view name) {
  if (name.size() < kPartialEnding.size()) return false;
  const std::string_view ending = name.substr(name.size() - kPartialEnding.size());
  return std::equal(ending.begin(), ending.end(), kPartialEnding.begin(),
                    [](char a, char b) { return upper(a) == upper(b); });
}

// Windows takes these for devices in every folder, whatever ending follows.
bool is_device(std::string_view name) {
  std::string stem(name.substr(0, name.find('.')));
  while (!stem.empty() && stem.back() == ' ') stem.pop_back();
  std::transform(stem.begin(), stem.end(), stem.begin(), upper);
  for (const char* device : {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}) {
    if (stem == device) return true;
  }
  if (!stem.starts_with("COM") && !stem.starts_with("LPT")) return false;
  const std::string_view number = std::string_view(stem).substr(3);
  const bool is_digit = number.size() == 1 && number[0] >= '0' && number[0] <= '9';
  return is_digit || number == "\u00B9" || number == "\u00B2" || number == "\u00B3";
}

const char* problem_of(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kFileNameBytesMax) return "is longer than 200 bytes";
  if (utf8_valid_prefix(name) != name.size()) return "is not UTF-8";
  if (std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; })) {
    return "holds a control character";
  }
  if (name.find_first_of("/\\") != std::string_view::npos) return "names a folder";
  if (name.find_first_of(":*?\"<>|") != std::string_view::npos) return "holds one of : * ? \" < > |";
  if (name == "." || name == "..") return "is a folder";
  if (name.back() == '.' || name.back() == ' ') return "ends in a dot or a space";
  if (is_partial(name)) return "ends in .part, as files do that are not complete";
  return is_device(name) ? "is a device on Windows" : nullptr;
}

// The name as a message may show it.
std::string shown(std::string_view name) {
  std::string text(utf8_truncate(name.substr(0, utf8_valid_prefix(name)), kFileNameBytesMax));
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 32; }, '?');
  return text;
}

}  // namespace

Status check_file_name(std::string_view name) {
  const char* problem = problem_of(name);
  if (problem == nullptr) return {};
  return Status(StatusCode::kInvalidArgument, format("the file name \"", shown(name), "\" ", problem));
}

std::string partial_file_name(std::string_view name) { return format(name, kPartialEnding); }

}  // namespace fastserve
