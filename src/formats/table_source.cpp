// Look-up in a model's tables, and the typed look-ups that every ModelSource offers.
#include "formats/table_source.h"

#include <algorithm>
#include <numeric>

#include "base/format.h"

namespace fastserve {
namespace {

// Indices of `items` sorted by name; the name that occurs twice goes to `duplicate`.
template <typename Items, typename NameOf>
std::vector<uint32_t> sorted_order(const Items& items, NameOf name_of, const std::string** duplicate) {
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return name_of(items[a]) < name_of(items[b]); });
  for (size_t i = 1; i < order.size(); ++i) {
    if (name_of(items[order[i - 1]]) == name_of(items[order[i]])) *duplicate = &name_of(items[order[i]]);
  }
  return order;
}

template <typename Items, typename NameOf>
auto find_by_name(const Items& items, const std::vector<uint32_t>& order, std::string_view name, NameOf name_of)
    -> decltype(items.data()) {
  const auto place = std::lower_bound(order.begin(), order.end(), name, [&](uint32_t index, std::string_view wanted) {
    return name_of(items[index]) < wanted;
  });
  if (place == order.end() || name_of(items[*place]) != name) return nullptr;
  return &items[*place];
}

const std::string& key_of(const MetaEntry& entry) { return entry.first; }
const std::string& name_of_tensor(const TensorInfo& tensor) { return tensor.name; }

const char* type_text(const MetaValue& value) {
  switch (value.type) {
    case MetaType::kUint:
      return "an unsigned integer";
    case MetaType::kInt:
      return "a signed integer";
    case MetaType::kFloat:
      return "a float";
    case MetaType::kBool:
      return "a boolean";
    case MetaType::kString:
      return "a string";
    case MetaType::kArray:
      return "an array";
    case MetaType::kNone:
      break;
  }
  return "nothing";
}

Status wrong_type(std::string_view key, const MetaValue& value, const char* wanted) {
  return Status(StatusCode::kCorrupt,
                format("metadata key ", quoted_name(key), " is ", type_text(value), ", not ", wanted));
}

Status missing_key(std::string_view key) {
  return Status(StatusCode::kNotFound, format("metadata key ", quoted_name(key), " is missing"));
}

Result<uint64_t> as_uint(std::string_view key, const MetaValue& value) {
  if (value.type == MetaType::kUint) return value.uint_value;
  if (value.type == MetaType::kInt && value.int_value >= 0) return static_cast<uint64_t>(value.int_value);
  return wrong_type(key, value, "an unsigned integer");
}

Result<double> as_float(std::string_view key, const MetaValue& value) {
  if (value.type == MetaType::kFloat) return value.float_value;
  if (value.type == MetaType::kUint) return static_cast<double>(value.uint_value);
  if (value.type == MetaType::kInt) return static_cast<double>(value.int_value);
  return wrong_type(key, value, "a number");
}

Result<std::string_view> as_string(std::string_view key, const MetaValue& value) {
  if (value.type != MetaType::kString) return wrong_type(key, value, "a string");
  return std::string_view(value.string_value);
}

}  // namespace

os::File::Identity combined_identity(const std::vector<os::File::Identity>& identities) {
  if (identities.size() == 1) return identities[0];
  constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a, a word at a time
  os::File::Identity all{0xcbf29ce484222325, 0xcbf29ce484222325, 0, 0xcbf29ce484222325};
  for (const os::File::Identity& one : identities) {
    all.device = (all.device ^ one.device) * kPrime;
    all.inode = (all.inode ^ one.inode) * kPrime;
    all.size_bytes += one.size_bytes;
    all.changed_ns = (all.changed_ns ^ one.changed_ns) * kPrime;
  }
  return all;
}

std::string quoted_name(std::string_view name) {
  constexpr size_t kShown = 96;
  std::string out = "\"";
  for (char c : name.substr(0, kShown)) out.push_back(c >= 0x20 && c < 0x7f ? c : '?');
  out += name.size() > kShown ? "...\"" : "\"";
  return out;
}

Status TableSource::set_tables(std::vector<MetaEntry> metadata, std::vector<TensorInfo> tensors) {
  metadata_ = std::move(metadata);
  tensors_ = std::move(tensors);
  const std::string* duplicate = nullptr;
  metadata_order_ = sorted_order(metadata_, key_of, &duplicate);
  if (duplicate != nullptr) {
    return Status(StatusCode::kCorrupt, fastserve::format("metadata key ", quoted_name(*duplicate), " occurs twice"));
  }
  tensor_order_ = sorted_order(tensors_, name_of_tensor, &duplicate);
  if (duplicate != nullptr) {
    return Status(StatusCode::kCorrupt, fastserve::format("tensor ", quoted_name(*duplicate), " occurs twice"));
  }
  return {};
}

Status TableSource::check_tensor_range(const TensorInfo& tensor, uint64_t offset_bytes, size_t size_bytes) {
  if (offset_bytes <= tensor.size_bytes && size_bytes <= tensor.size_bytes - offset_bytes) return {};
  return Status(StatusCode::kInvalidArgument,
                fastserve::format("tensor ", quoted_name(tensor.name), ": bytes ", offset_bytes, " + ", size_bytes,
                                  " lie outside its ", tensor.size_bytes));
}

const TensorInfo* TableSource::find_tensor(std::string_view name) const {
  return find_by_name(tensors_, tensor_order_, name, name_of_tensor);
}

const MetaValue* TableSource::find(std::string_view key) const {
  const MetaEntry* entry = find_by_name(metadata_, metadata_order_, key, key_of);
  return entry == nullptr ? nullptr : &entry->second;
}

std::vector<std::string_view> TableSource::keys() const {
  std::vector<std::string_view> keys;
  keys.reserve(metadata_.size());
  for (const MetaEntry& entry : metadata_) keys.emplace_back(entry.first);
  return keys;
}

Result<std::unique_ptr<os::File>> ModelSource::open_side_file(std::string_view name) const {
  return Status(StatusCode::kNotFound, fastserve::format("there is no file ", quoted_name(name), " with this model"));
}

Result<std::string> ModelSource::read_side_file(std::string_view name) const {
  return guarded([&]() -> Result<std::string> {
    FSV_ASSIGN(const std::unique_ptr<os::File> file, open_side_file(name));
    std::string text(static_cast<size_t>(file->size_bytes()), '\0');
    FSV_TRY(file->read_at(0, text.data(), text.size()));
    return text;
  });
}

Result<uint64_t> ModelSource::get_uint(std::string_view key) const {
  const MetaValue* value = find(key);
  return value == nullptr ? missing_key(key) : as_uint(key, *value);
}
Result<double> ModelSource::get_float(std::string_view key) const {
  const MetaValue* value = find(key);
  return value == nullptr ? missing_key(key) : as_float(key, *value);
}
Result<std::string_view> ModelSource::get_string(std::string_view key) const {
  const MetaValue* value = find(key);
  return value == nullptr ? missing_key(key) : as_string(key, *value);
}
Result<uint64_t> ModelSource::uint_or(std::string_view key, uint64_t fallback) const {
  const MetaValue* value = find(key);
  return value == nullptr ? Result<uint64_t>(fallback) : as_uint(key, *value);
}
Result<double> ModelSource::float_or(std::string_view key, double fallback) const {
  const MetaValue* value = find(key);
  return value == nullptr ? Result<double>(fallback) : as_float(key, *value);
}
Result<bool> ModelSource::bool_or(std::string_view key, bool fallback) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return fallback;
  if (value->type != MetaType::kBool) return wrong_type(key, *value, "a boolean");
  return value->bool_value;
}
Result<std::string_view> ModelSource::string_or(std::string_view key, std::string_view fallback) const {
  const MetaValue* value = find(key);
  return value == nullptr ? Result<std::string_view>(fallback) : as_string(key, *value);
}

}  // namespace fastserve
