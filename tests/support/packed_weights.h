// Random weights of any file type, packed: blocks of random quants with sane scales, the same for the same seed.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tensor/packing.h"

namespace fastserve::test {

inline constexpr DType kAllTypes[] = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ8_0,
                                      DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,   DType::kQ5_1,
                                      DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                                      DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

inline std::string type_test_name(const testing::TestParamInfo<DType>& info) {
  return dtype_traits(static_cast<uint32_t>(info.param))->name;
}

class PackedWeights {
 public:
  // fill >= 0: every byte of quants and sub-scales is that, instead of random.
  PackedWeights(DType type, int64_t rows, int64_t cols, uint32_t seed, int fill_byte = -1)
      : type_(type), rows_(rows), cols_(cols) {
    fill(seed, fill_byte);
    pack();
  }

  const PackedMatrix& matrix() const { return matrix_; }
  std::vector<float> dequantized() const {
    std::vector<float> out(static_cast<size_t>(rows_ * cols_));
    const int64_t stride = row_bytes(type_, cols_);
    for (int64_t r = 0; r < rows_; ++r) {
      dequantize_row(type_, source_.data() + r * stride, out.data() + r * cols_, cols_);
    }
    return out;
  }

 private:
  // Where halves with scales lie in a block of the type.
  static std::vector<int> half_offsets(DType type) {
    switch (type) {
      case DType::kQ4_0:
      case DType::kQ5_0:
      case DType::kQ8_0:
      case DType::kIQ4_NL:
      case DType::kIQ4_XS:
        return {0};
      case DType::kQ4_1:
      case DType::kQ5_1:
      case DType::kQ4_K:
      case DType::kQ5_K:
        return {0, 2};
      case DType::kQ2_K:
        return {80, 82};
      case DType::kQ3_K:
        return {108};
      case DType::kQ6_K:
        return {208};
      default:
        return {};
    }
  }

  void fill(uint32_t seed, int fill_byte) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    const auto traits = *dtype_traits(static_cast<uint32_t>(type_));
    source_.resize(static_cast<size_t>(rows_ * row_bytes(type_, cols_)));
    const size_t block_bytes = static_cast<size_t>(traits.block_bytes);
    for (size_t at = 0; at < source_.size(); at += block_bytes) {
      uint8_t* block = source_.data() + at;
      if (traits.block_elements == 1) {
        const float value = uniform(random);
        const uint16_t half = type_ == DType::kF16 ? float_to_half(value) : float_to_bfloat16(value);
        if (type_ == DType::kF32) {
          std::memcpy(block, &value, 4);
        } else {
          std::memcpy(block, &half, 2);
        }
        continue;
      }
      for (size_t i = 0; i < block_bytes; ++i)
        block[i] = static_cast<uint8_t>(fill_byte >= 0 ? static_cast<uint32_t>(fill_byte) : random());
      for (const int offset : half_offsets(type_)) {
        const uint16_t half = float_to_half(uniform(random) * 0.05F);
        std::memcpy(block + offset, &half, 2);
      }
      if (type_ == DType::kMXFP4) block[0] = static_cast<uint8_t>(118 + random() % 8);
    }
  }

  void pack() {
    const PackedLayout layout = packed_layout_for(type_);
    const int64_t panel_bytes = packed_panel_bytes(layout, cols_);
    storage_.resize(static_cast<size_t>(packed_bytes(layout, rows_, cols_)) + 64);
    void* base = storage_.data();
    size_t space = storage_.size();
    std::align(64, space - 64, base, space);
    data_ = static_cast<uint8_t*>(base);
    for (int64_t r = 0; r < rows_; r += kernels::kPanelRows) {
      const int64_t count = rows_ - r < kernels::kPanelRows ? rows_ - r : kernels::kPanelRows;
      pack_panel(type_, source_.data() + r * row_bytes(type_, cols_), count, cols_,
                 data_ + r / kernels::kPanelRows * panel_bytes);
    }
    matrix_ = {data_, layout, 0, rows_, cols_, panel_bytes};
  }

  DType type_;
  int64_t rows_, cols_;
  std::vector<uint8_t> source_, storage_;
  uint8_t* data_ = nullptr;
  PackedMatrix matrix_{};
};

}  // namespace fastserve::test
