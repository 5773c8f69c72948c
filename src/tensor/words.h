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

// Four words of four rows, `from_stride` bytes apart, turned: word j of row i goes to row j, word i, rows being
// `to_stride` bytes apart.
inline void turn_words(const uint8_t* from, int64_t from_stride, uint8_t* to, int64_t to_stride) {
#if defined(__GNUC__) && (!defined(__clang__) || __clang_major__ >= 12)
  typedef uint32_t Words __attribute__((vector_size(16)));
  Words rows[4];
  for (int i = 0; i < 4; ++i) std::memcpy(&rows[i], from + i * from_stride, sizeof rows[i]);
  const Words low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
  const Words low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
  const Words high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const Words high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  const Words turned[4] = {
      __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
      __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int j = 0; j < 4; ++j) std::memcpy(to + j * to_stride, &turned[j], sizeof turned[j]);
#else
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) store_word(to + j * to_stride + 4 * i, load_word(from + i * from_stride + 4 * j));
  }
#endif
}

}  // namespace fastserve
