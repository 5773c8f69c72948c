// Words of four quants, wherever they lie.
#pragma once
#include <cstdint>
#include <cstring>

namespace fastserve {

inline uint32_t load_word(const uint8_t* source) {
  uint32_t word;
  std::memcpy(&word, source, sizeof word);
  return word;
}

inline void store_word(uint8_t* destination, uint32_t word) { std::memcpy(destination, &word, sizeof word); }

}  // namespace fastserve
