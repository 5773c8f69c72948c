// Tables of GGUF's element types and conversion between float and its 16-bit forms.
#include "tensor/dtype.h"

#include <bit>

namespace fastserve {
namespace {

struct TypeRow {
  uint32_t number;
  bool runnable;
  DTypeTraits traits;
};

// Every number in use by GGUF; retired ones (4, 5, 31-33, 36-38) have no size any more and count as unknown.
constexpr TypeRow kTypes[] = {
    {0, true, {"F32", 1, 4}},         {1, true, {"F16", 1, 2}},          {2, true, {"Q4_0", 32, 18}},
    {3, true, {"Q4_1", 32, 20}},      {6, true, {"Q5_0", 32, 22}},       {7, true, {"Q5_1", 32, 24}},
    {8, true, {"Q8_0", 32, 34}},      {9, false, {"Q8_1", 32, 36}},      {10, true, {"Q2_K", 256, 84}},
    {11, true, {"Q3_K", 256, 110}},   {12, true, {"Q4_K", 256, 144}},    {13, true, {"Q5_K", 256, 176}},
    {14, true, {"Q6_K", 256, 210}},   {15, false, {"Q8_K", 256, 292}},   {16, false, {"IQ2_XXS", 256, 66}},
    {17, false, {"IQ2_XS", 256, 74}}, {18, false, {"IQ3_XXS", 256, 98}}, {19, false, {"IQ1_S", 256, 50}},
    {20, true, {"IQ4_NL", 32, 18}},   {21, false, {"IQ3_S", 256, 110}},  {22, false, {"IQ2_S", 256, 82}},
    {23, true, {"IQ4_XS", 256, 136}}, {24, false, {"I8", 1, 1}},         {25, false, {"I16", 1, 2}},
    {26, false, {"I32", 1, 4}},       {27, false, {"I64", 1, 8}},        {28, false, {"F64", 1, 8}},
    {29, false, {"IQ1_M", 256, 56}},  {30, true, {"BF16", 1, 2}},        {34, false, {"TQ1_0", 256, 54}},
    {35, false, {"TQ2_0", 256, 66}},  {39, true, {"MXFP4", 32, 17}},     {40, false, {"NVFP4", 64, 36}},
    {41, false, {"Q1_0", 128, 18}},
};

const TypeRow* find_type(uint32_t number) {
  for (const TypeRow& row : kTypes) {
    if (row.number == number) return &row;
  }
  return nullptr;
}

}  // namespace

std::optional<DTypeTraits> dtype_traits(uint32_t gguf_type) {
  const TypeRow* row = find_type(gguf_type);
  if (row == nullptr || !row->runnable) return std::nullopt;
  return row->traits;
}

std::optional<DTypeTraits> gguf_type_traits(uint32_t gguf_type) {
  const TypeRow* row = find_type(gguf_type);
  if (row == nullptr) return std::nullopt;
  return row->traits;
}

const char* gguf_type_name(uint32_t gguf_type) {
  const TypeRow* row = find_type(gguf_type);
  return row == nullptr ? nullptr : row->traits.name;
}

int64_t row_bytes(DType type, int64_t elements) {
  const TypeRow* row = find_type(static_cast<uint32_t>(type));
  return row == nullptr ? 0 : elements / row->traits.block_elements * row->traits.block_bytes;
}

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  if (magnitude < 0x0400u) {  // zero and subnormals: a multiple of 2^-24, exact in float
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x03ffu) << 13);
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x03ffu);  // NaN: quiet, upper payload kept
  } else if (magnitude >= 0x477ff000u) {             // 65520 and above round to infinity
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14. Adding 0.5 aligns the value to 2^-24, the half's subnormal step, and rounds to even on the way.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    const uint32_t rounded = magnitude + 0x0fffu + ((magnitude >> 13) & 1u);
    half = (rounded - (112u << 23)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

float bfloat16_to_float(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace fastserve
