// Fuzzes the reading of config.json, and with what it says of a model the mapping of tensor names (from the same text).
#include <cstring>
#include <string_view>

#include "base/json.h"
#include "formats/hf_config.h"
#include "formats/hf_names.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fastserve;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document = json::parse(text, "config.json");
  if (!document.ok()) {
    if (std::strlen(document.status().message()) == 0) __builtin_trap();
    return 0;
  }
  const json::Value root = document->root();
  const auto model = guarded([&] { return read_hf_config(root, "config.json"); });
  if (!model.ok()) {
    if (std::strlen(model.status().message()) == 0) __builtin_trap();
    return 0;
  }
  for (size_t i = 0; i < root.size(); ++i) {
    const auto place = hf_place(root.key(i), *model);
    if (place.has_value() && (place->name.empty() || place->expert >= static_cast<int32_t>(model->expert_count))) {
      __builtin_trap();
    }
  }
  return 0;
}
