// SimulatedText: what a simulated engine computes, so that tests see whose keys and values a sequence reads. A token's
// "key" is a number in its slot of the KV pool; the next token is drawn from the keys of all before it, read from the
// sequence's blocks. A block that two sequences write, or that is lost, changes what is said.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/kernel_api.h"

namespace fastserve::simulate {

class SimulatedText {
 public:
  SimulatedText() = default;
  explicit SimulatedText(int32_t block_count)
      : slots_(static_cast<size_t>(block_count) * static_cast<size_t>(kernels::kKvBlockTokens)) {}

  static std::vector<uint64_t> prompt(uint64_t id, int32_t count) {
    std::vector<uint64_t> tokens;
    for (int32_t i = 0; i < count; ++i) tokens.push_back(mixed(id, static_cast<uint64_t>(i)));
    return tokens;
  }
  // Keys of the tokens [begin, begin + count).
  void compute(const std::vector<int32_t>& blocks, const std::vector<uint64_t>& tokens, int32_t begin, int32_t count) {
    for (int32_t i = begin; i < begin + count; ++i) slot(blocks, i) = tokens[static_cast<size_t>(i)];
  }
  // What follows `count` computed tokens.
  uint64_t next(const std::vector<int32_t>& blocks, int32_t count) {
    uint64_t state = 0;
    for (int32_t i = 0; i < count; ++i) state = mixed(state, slot(blocks, i));
    return state;
  }
  // The prompt and `generated` tokens of a request that runs alone.
  static std::vector<uint64_t> alone(uint64_t id, int32_t prompt_tokens, int32_t generated) {
    std::vector<uint64_t> tokens = prompt(id, prompt_tokens);
    uint64_t state = 0;
    size_t read = 0;
    for (int32_t i = 0; i < generated; ++i) {
      for (; read < tokens.size(); ++read) state = mixed(state, tokens[read]);
      tokens.push_back(state);
    }
    return tokens;
  }

 private:
  static uint64_t mixed(uint64_t a, uint64_t b) {
    uint64_t x = a * 0x9e3779b97f4a7c15ULL + b + 0x632be59bd9b4e019ULL;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
    return x ^ (x >> 29);
  }
  uint64_t& slot(const std::vector<int32_t>& blocks, int32_t position) {
    constexpr int32_t kTokens = kernels::kKvBlockTokens;
    const int64_t block = blocks[static_cast<size_t>(position / kTokens)];
    return slots_[static_cast<size_t>(block * kTokens + position % kTokens)];
  }
  std::vector<uint64_t> slots_;
};

}  // namespace fastserve::simulate
