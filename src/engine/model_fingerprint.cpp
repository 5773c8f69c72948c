// Fine-tuned models share their table with the model that they came from: only the weights tell them apart.
#include "engine/model_fingerprint.h"

#include <algorithm>
#include <bit>

#include "base/checksum.h"
#include "base/little_endian.h"

namespace fastserve {
namespace {

constexpr int64_t kRowStride = 256;

void add_number(Checksum& checksum, uint64_t number) {
  uint8_t bytes[8];
  store_little_endian(number, bytes);
  checksum.add(bytes, sizeof(bytes));
}

void add_text(Checksum& checksum, std::string_view text) {
  add_number(checksum, text.size());
  checksum.add(text.data(), text.size());
}

// As f32, which is what files of one format hold and what all are computed with.
void add_real(Checksum& checksum, double number) {
  add_number(checksum, std::bit_cast<uint32_t>(static_cast<float>(number)));
}

void add_array(Checksum& checksum, const MetaValue& value) {
  add_number(checksum, value.array_size());
  for (const int64_t number : value.integers) add_number(checksum, static_cast<uint64_t>(number));
  for (const double number : value.floats) add_real(checksum, number);
  for (size_t i = 0; i < value.strings.size(); ++i) add_text(checksum, value.strings[i]);
}

void add_value(Checksum& checksum, const MetaValue& value) {
  switch (value.type) {
    case MetaType::kNone:
      return;
    case MetaType::kUint:
      return add_number(checksum, value.uint_value);
    case MetaType::kInt:
      return add_number(checksum, static_cast<uint64_t>(value.int_value));
    case MetaType::kFloat:
      return add_real(checksum, value.float_value);
    case MetaType::kBool:
      return add_number(checksum, value.bool_value ? 1 : 0);
    case MetaType::kString:
      return add_text(checksum, value.string_value);
    case MetaType::kArray:
      return add_array(checksum, value);
  }
}

// What a file says of itself, of its tokeniser and of how it was made may change; all else may change results, also
// what no family of today reads.
bool changes_results(std::string_view key) {
  if (key == "general.architecture") return true;
  constexpr std::string_view kOther[] = {"general.", "tokenizer.", "split.", "quantize."};
  return std::none_of(std::begin(kOther), std::end(kOther),
                      [&](std::string_view prefix) { return key.starts_with(prefix); });
}

}  // namespace

void ModelFingerprint::add_header(const ModelSource& source) {
  for (const std::string_view key : source.keys()) {
    const MetaValue* value = source.find(key);
    if (value == nullptr || !changes_results(key)) continue;
    Checksum checksum;
    add_text(checksum, key);
    add_value(checksum, *value);
    sum_.fetch_add(checksum.value(), std::memory_order_relaxed);
  }
  for (const TensorInfo& tensor : source.tensors()) {
    Checksum checksum;
    checksum.add(tensor.name.data(), tensor.name.size());
    add_number(checksum, tensor.type);
    for (const int64_t dimension : tensor.dimensions) add_number(checksum, static_cast<uint64_t>(dimension));
    sum_.fetch_add(checksum.value(), std::memory_order_relaxed);
  }
}

void ModelFingerprint::add_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_bytes, const uint8_t* bytes,
                                size_t size_bytes) noexcept {
  if (row_bytes <= 0) return;
  const int64_t row_end = row_begin + static_cast<int64_t>(size_bytes) / row_bytes;
  const int64_t first = (row_begin + kRowStride - 1) / kRowStride * kRowStride;
  for (int64_t row = first; row < row_end; row += kRowStride) {
    Checksum checksum;
    checksum.add(tensor.name.data(), tensor.name.size());
    add_number(checksum, static_cast<uint64_t>(row));
    checksum.add(bytes + (row - row_begin) * row_bytes, static_cast<size_t>(row_bytes));
    sum_.fetch_add(checksum.value(), std::memory_order_relaxed);
  }
}

}  // namespace fastserve
