// Parser of safetensors headers: a 64-bit length, a JSON object, then the data.
#include "formats/safetensors.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "formats/buffered_reader.h"
#include "formats/table_source.h"

namespace fastserve {
namespace {

constexpr uint64_t kHeaderBytesMax = 100'000'000;  // the format's own bound
constexpr size_t kTensorCountMax = size_t{1} << 20;
constexpr int64_t kElementCountMax = int64_t{1} << 50;

Status corrupt(const os::File& file, std::string_view text) {
  return Status(StatusCode::kCorrupt, format("\"", file.name(), "\": ", text));
}

Result<std::string> read_header_text(os::File& file) {
  uint8_t length_bytes[8];
  if (file.size_bytes() < sizeof(length_bytes)) return corrupt(file, "is too short for a safetensors file");
  FSV_TRY(file.read_at(0, length_bytes, sizeof(length_bytes)));
  const auto length = load_little_endian<uint64_t>(length_bytes);
  if (length > file.size_bytes() - 8 || length > kHeaderBytesMax) {
    return corrupt(file, format("the header of ", length, " bytes passes the end of the file (", file.size_bytes(),
                                " bytes) or is larger than a safetensors header may be"));
  }
  std::string text(static_cast<size_t>(length), '\0');
  FSV_TRY(file.read_at(8, text.data(), text.size()));
  return text;
}

// Product of the shape; -1 where it is impossible.
int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t dimension : shape) {
    if (dimension <= 0 || dimension > kElementCountMax / count) return -1;
    count *= dimension;
  }
  return count;
}

Status parse_shape(const os::File& file, std::string_view what, json::Value value, std::vector<int64_t>& shape) {
  if (!value.is_array()) return corrupt(file, format(what, " has no shape"));
  if (value.size() > 4) return corrupt(file, format(what, " has ", value.size(), " dimensions; up to 4 are possible"));
  for (size_t i = 0; i < value.size(); ++i) {
    const auto dimension = value.at(i).integer();
    if (!dimension.has_value()) return corrupt(file, format(what, ": dimension ", i, " is no integer"));
    shape.push_back(*dimension);
  }
  if (element_count(shape) < 0) return corrupt(file, format(what, " has an impossible shape"));
  return {};
}

Status parse_tensor(const os::File& file, json::Value value, uint64_t data_begin, SafeTensor& tensor) {
  const std::string what = format("tensor ", quoted_name(tensor.name));
  const auto type = value["dtype"].string();
  if (!type.has_value()) return corrupt(file, format(what, " has no dtype"));
  if (*type == "F32") {
    tensor.type = DType::kF32;
  } else if (*type == "F16") {
    tensor.type = DType::kF16;
  } else if (*type == "BF16") {
    tensor.type = DType::kBF16;
  } else {
    return Status(StatusCode::kUnsupported, format("\"", file.name(), "\": ", what, " has the type ",
                                                   quoted_name(*type), "; F32, F16 and BF16 are read"));
  }
  FSV_TRY(parse_shape(file, what, value["shape"], tensor.shape));
  const json::Value offsets = value["data_offsets"];
  const auto begin = offsets.at(0).integer(), end = offsets.at(1).integer();
  const uint64_t data_bytes = file.size_bytes() - data_begin;
  if (offsets.size() != 2 || !begin.has_value() || !end.has_value() || *begin < 0 || *end < *begin ||
      static_cast<uint64_t>(*end) > data_bytes) {
    return corrupt(file, format(what, ": its data_offsets lie outside the ", data_bytes, " bytes of data"));
  }
  tensor.offset_bytes = data_begin + static_cast<uint64_t>(*begin);
  tensor.size_bytes = static_cast<uint64_t>(*end - *begin);
  const int64_t expected = element_count(tensor.shape) * (tensor.type == DType::kF32 ? 4 : 2);
  if (tensor.size_bytes != static_cast<uint64_t>(expected)) {
    return corrupt(file, format(what, " has ", tensor.size_bytes, " bytes; its shape needs ", expected));
  }
  return {};
}

Status check_overlaps(const os::File& file, const std::vector<SafeTensor>& tensors) {
  std::vector<const SafeTensor*> order;
  for (const SafeTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const SafeTensor* a, const SafeTensor* b) { return a->offset_bytes < b->offset_bytes; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->offset_bytes - order[i - 1]->offset_bytes < order[i - 1]->size_bytes) {
      return corrupt(
          file, format("tensors ", quoted_name(order[i - 1]->name), " and ", quoted_name(order[i]->name), " overlap"));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<SafeTensor>> parse_safetensors(os::File& file, bool (*ignored)(std::string_view name)) {
  FSV_ASSIGN(const std::string text, read_header_text(file));
  FSV_ASSIGN(const json::Document document, json::parse(text, format("\"", file.name(), "\", header")));
  const json::Value root = document.root();
  if (!root.is_object()) return corrupt(file, "the header is no JSON object");
  if (root.size() > kTensorCountMax) return corrupt(file, format(root.size(), " tensors are too many"));
  std::vector<SafeTensor> tensors;
  for (size_t i = 0; i < root.size(); ++i) {
    const std::string_view name = root.key(i);
    if (name == "__metadata__" || ignored(name)) continue;
    SafeTensor tensor;
    tensor.name = name;
    FSV_TRY(parse_tensor(file, root.at(i), 8 + text.size(), tensor));
    tensors.push_back(std::move(tensor));
  }
  FSV_TRY(check_overlaps(file, tensors));
  return tensors;
}

}  // namespace fastserve
