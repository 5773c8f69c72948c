// Look-ups of HfConfigView, entries of HfMetadata.
#include "formats/hf_view.h"

#include <cmath>

#include "base/format.h"

namespace fastserve {

json::Value HfConfigView::find(std::initializer_list<std::string_view> names) const {
  for (std::string_view name : names) {
    for (json::Value value : {root_["text_config"][name], root_[name]}) {
      if (value.present() && value.kind() != json::Kind::kNull) return value;
    }
  }
  return {};
}

Result<int64_t> HfConfigView::count(std::initializer_list<std::string_view> names, std::optional<int64_t> fallback,
                                    int64_t maximum) const {
  const std::string_view name = *names.begin();
  const json::Value value = find(names);
  if (!value.present()) {
    if (fallback.has_value()) return *fallback;
    return corrupt(format("\"", name, "\" is missing"));
  }
  const auto number = value.integer();
  if (!number.has_value() || *number < 1 || *number > maximum) {
    return corrupt(format("\"", name, "\" is no integer from 1 to ", maximum));
  }
  return *number;
}

Result<int64_t> HfConfigView::count_or_zero(std::initializer_list<std::string_view> names, int64_t fallback,
                                            int64_t maximum) const {
  const auto number = find(names).integer();
  return number.has_value() && *number == 0 ? Result<int64_t>(int64_t{0}) : count(names, fallback, maximum);
}

Result<double> HfConfigView::real(std::initializer_list<std::string_view> names, double fallback) const {
  const json::Value value = find(names);
  if (!value.present()) return fallback;
  const auto number = value.number();
  if (!number.has_value() || !(std::fabs(*number) < 1e30)) {
    return corrupt(format("\"", *names.begin(), "\" is no number in range"));
  }
  return *number;
}

Status HfConfigView::corrupt(std::string_view text) const {
  return Status(StatusCode::kCorrupt, format("\"", file_name_, "\": ", text));
}
Status HfConfigView::unsupported(std::string_view text) const {
  return Status(StatusCode::kUnsupported, format("\"", file_name_, "\": ", text, " is not supported"));
}

std::string HfMetadata::full(std::string_view name) const { return format(architecture_, ".", name); }

void HfMetadata::number_of(std::string_view key, int64_t value) {
  MetaValue entry;
  entry.type = MetaType::kUint;
  entry.uint_value = static_cast<uint64_t>(value);
  entries_.emplace_back(key, std::move(entry));
}
void HfMetadata::real(std::string_view name, double value) {
  MetaValue entry;
  entry.type = MetaType::kFloat;
  entry.float_value = static_cast<double>(static_cast<float>(value));
  entries_.emplace_back(full(name), std::move(entry));
}
void HfMetadata::boolean(std::string_view name, bool value) {
  MetaValue entry;
  entry.type = MetaType::kBool;
  entry.bool_value = value;
  entries_.emplace_back(full(name), std::move(entry));
}
void HfMetadata::booleans(std::string_view name, const std::vector<bool>& values) {
  MetaValue entry;
  entry.type = MetaType::kArray;
  entry.element_type = MetaType::kBool;
  entry.integers.assign(values.begin(), values.end());
  entries_.emplace_back(full(name), std::move(entry));
}
void HfMetadata::integers(std::string_view key, std::vector<int64_t> values) {
  MetaValue entry;
  entry.type = MetaType::kArray;
  entry.element_type = MetaType::kInt;
  entry.integers = std::move(values);
  entries_.emplace_back(key, std::move(entry));
}
void HfMetadata::text(std::string_view key, std::string_view value) {
  MetaValue entry;
  entry.type = MetaType::kString;
  entry.string_value = value;
  entries_.emplace_back(key, std::move(entry));
}

}  // namespace fastserve
