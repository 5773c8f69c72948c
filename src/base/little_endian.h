// Little-endian integers in files, whatever the processor's own order.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace fastserve {

template <std::unsigned_integral T>
T load_little_endian(const uint8_t* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | static_cast<T>(bytes[i]) << (8 * i));
  return value;
}

template <std::unsigned_integral T>
void store_little_endian(T value, uint8_t* bytes) {
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace fastserve
