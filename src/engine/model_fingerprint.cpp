// Fine-tuned models share their table with the model that they came from: only the weights tell them apart.
#include "engine/model_fingerprint.h"

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

}  // namespace

void ModelFingerprint::add_table(const ModelSource& source) {
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
