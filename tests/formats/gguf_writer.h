// GgufWriter: makes small GGUF files in memory, right or deliberately wrong.
#pragma once
#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fastserve {

// Value type numbers of the format.
enum GgufType : uint32_t {
  kGgufUint8 = 0,
  kGgufInt8,
  kGgufUint16,
  kGgufInt16,
  kGgufUint32,
  kGgufInt32,
  kGgufFloat32,
  kGgufBool,
  kGgufString,
  kGgufArray,
  kGgufUint64,
  kGgufInt64,
  kGgufFloat64,
};

class GgufWriter {
 public:
  GgufWriter& number(uint64_t value, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    return *this;
  }
  GgufWriter& u32(uint32_t value) { return number(value, 4); }
  GgufWriter& u64(uint64_t value) { return number(value, 8); }
  GgufWriter& f32(float value) { return u32(std::bit_cast<uint32_t>(value)); }
  GgufWriter& f64(double value) { return u64(std::bit_cast<uint64_t>(value)); }
  GgufWriter& text(std::string_view value) {
    u64(value.size());
    bytes.insert(bytes.end(), value.begin(), value.end());
    return *this;
  }
  GgufWriter& preamble(uint32_t version, uint64_t tensor_count, uint64_t key_count) {
    for (char c : {'G', 'G', 'U', 'F'}) bytes.push_back(static_cast<uint8_t>(c));
    return u32(version).u64(tensor_count).u64(key_count);
  }
  GgufWriter& key(std::string_view name, GgufType type) { return text(name).u32(type); }
  GgufWriter& array(std::string_view name, GgufType element, uint64_t count) {
    return key(name, kGgufArray).u32(element).u64(count);
  }
  GgufWriter& tensor(std::string_view name, std::vector<uint64_t> dimensions, uint32_t type, uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(dimensions.size()));
    for (uint64_t dimension : dimensions) u64(dimension);
    return u32(type).u64(offset);
  }
  GgufWriter& pad(size_t alignment) {
    while (bytes.size() % alignment != 0) bytes.push_back(0);
    return *this;
  }
  GgufWriter& data(size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; ++i) bytes.push_back(static_cast<uint8_t>(i * 7 + 3));
    return *this;
  }

  std::vector<uint8_t> bytes;
};

}  // namespace fastserve
