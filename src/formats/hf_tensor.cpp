// Reading of tensors with their change.
#include "formats/hf_tensor.h"

#include <algorithm>
#include <cstring>

namespace fastserve {
namespace {

// Row of the file that is row `row` as presented: within a head, rows i and i + size/2 become neighbours.
int64_t paired_row(int64_t row, int64_t head_rows) {
  const int64_t head = row / head_rows, inner = row % head_rows;
  return head * head_rows + inner % 2 * (head_rows / 2) + inner / 2;
}

Status read_pieces(const HfTensor& tensor, HfFiles& files, uint64_t offset_bytes, uint8_t* destination,
                   size_t size_bytes) {
  while (size_bytes != 0) {
    const HfPiece& piece = tensor.pieces[static_cast<size_t>(offset_bytes / tensor.piece_bytes)];
    const uint64_t inner = offset_bytes % tensor.piece_bytes;
    const auto count = static_cast<size_t>(std::min<uint64_t>(size_bytes, tensor.piece_bytes - inner));
    FSV_TRY(files[piece.file]->read_at(piece.offset_bytes + inner, destination, count));
    destination += count;
    offset_bytes += count;
    size_bytes -= count;
  }
  return {};
}

void transpose(const uint8_t* source, int64_t rows, int64_t cols, size_t element_bytes, uint8_t* destination) {
  constexpr int64_t kTile = 32;  // keeps both sides in the cache
  for (int64_t row_begin = 0; row_begin < rows; row_begin += kTile) {
    for (int64_t col_begin = 0; col_begin < cols; col_begin += kTile) {
      for (int64_t row = row_begin; row < std::min(rows, row_begin + kTile); ++row) {
        for (int64_t col = col_begin; col < std::min(cols, col_begin + kTile); ++col) {
          std::memcpy(destination + static_cast<size_t>(row * cols + col) * element_bytes,
                      source + static_cast<size_t>(col * rows + row) * element_bytes, element_bytes);
        }
      }
    }
  }
}

}  // namespace

bool needs_whole(const HfTensor& tensor) {
  return tensor.source_type != tensor.type || tensor.change == HfChange::kTranspose ||
         tensor.change == HfChange::kPlusOne || (tensor.change == HfChange::kPairs && tensor.cols == 1);
}

Status read_hf_rows(const HfTensor& tensor, HfFiles& files, uint64_t offset_bytes, uint8_t* destination,
                    size_t size_bytes) {
  if (!tensor.values.empty()) {
    std::memcpy(destination, reinterpret_cast<const uint8_t*>(tensor.values.data()) + offset_bytes, size_bytes);
    return {};
  }
  if (tensor.change != HfChange::kPairs) return read_pieces(tensor, files, offset_bytes, destination, size_bytes);
  const auto row_size = static_cast<uint64_t>(row_bytes(tensor.type, tensor.cols));
  while (size_bytes != 0) {
    const auto row = static_cast<int64_t>(offset_bytes / row_size);
    const uint64_t inner = offset_bytes % row_size;
    const auto count = static_cast<size_t>(std::min<uint64_t>(size_bytes, row_size - inner));
    const auto source = static_cast<uint64_t>(paired_row(row, tensor.rows / tensor.heads));
    FSV_TRY(read_pieces(tensor, files, source * row_size + inner, destination, count));
    destination += count;
    offset_bytes += count;
    size_bytes -= count;
  }
  return {};
}

Status read_hf_whole(const HfTensor& tensor, HfFiles& files, std::vector<uint8_t>& bytes) {
  std::vector<uint8_t> source(static_cast<size_t>(tensor.piece_bytes * tensor.pieces.size()));
  FSV_TRY(read_pieces(tensor, files, 0, source.data(), source.size()));
  const int64_t count = tensor.rows * tensor.cols;
  if (tensor.change == HfChange::kTranspose) {
    bytes.resize(source.size());
    transpose(source.data(), tensor.rows, tensor.cols, static_cast<size_t>(row_bytes(tensor.source_type, 1)),
              bytes.data());
    return {};
  }
  // A vector: to float, then its change.
  std::vector<float> floats(static_cast<size_t>(count));
  dequantize_row(tensor.source_type, source.data(), floats.data(), count);
  bytes.resize(floats.size() * sizeof(float));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = tensor.change == HfChange::kPairs ? paired_row(i, count / tensor.heads) : i;
    const float value = floats[static_cast<size_t>(from)] + (tensor.change == HfChange::kPlusOne ? 1.0f : 0.0f);
    std::memcpy(bytes.data() + static_cast<size_t>(i) * sizeof(float), &value, sizeof(float));
  }
  return {};
}

}  // namespace fastserve
