// A small random llama model as a GGUF file: layers, tokeniser and all, different for each seed. Tests keep the values
// that its tensors stand for, so that an oracle of their own can compute with them.
#pragma once
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"

namespace fastserve::test {

enum TinyType : uint32_t { kTinyF32 = 0, kTinyQ4_0 = 2, kTinyQ4_1 = 3, kTinyQ8_0 = 8, kTinyBf16 = 30 };

struct TinyTensor {
  std::string name;
  std::vector<uint64_t> dimensions;  // columns first
  uint32_t type = kTinyF32;
  std::vector<uint8_t> bytes;
  std::vector<float> values;  // what the bytes stand for
};

// Metadata beside what a shape implies.
struct TinyKey {
  std::string name;
  GgufType type = kGgufFloat32;  // or kGgufUint32, kGgufInt32, kGgufString
  uint32_t bits = 0;
  std::string text;
};

struct TinyShape {
  uint32_t layers = 2, hidden = 64, heads = 4, kv_heads = 2, head_dim = 16, intermediate = 128;
  uint32_t context = 4096;
  uint32_t type = kTinyF32;  // of matrices
  bool tied = true;
  uint32_t seed = 1;
  float gain = 1.6F;                   // of matrices: large enough that prompts tell in the logits
  std::string architecture = "llama";  // or "gemma3": norms around every block, five layers of six see a window
  uint32_t window = 0;                 // keys that a layer with a window sees
  bool add_bos = false;                // kTinyEnd begins every text
  std::vector<TinyKey> keys;
};

// Ids of the tokens that are no plain bytes.
constexpr int32_t kTinyEnd = 0, kTinyImStart = 1, kTinyImEnd = 2, kTinyFirstByte = 3;
constexpr int32_t kTinyVocabulary = 300;

namespace tiny {

inline void append_utf8(uint32_t code_point, std::string& out) {
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else {
    out.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    out.push_back(static_cast<char>(0x80 | (code_point & 63)));
  }
}

// How GPT-2's vocabularies write each byte.
inline std::string byte_text(uint32_t byte) {
  const bool is_printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  uint32_t code_point = byte;
  if (!is_printable) {
    code_point = 256;
    for (uint32_t b = 0; b < byte; ++b) {
      if (!((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)) ++code_point;
    }
  }
  std::string text;
  append_utf8(code_point, text);
  return text;
}

inline std::vector<std::string> merges() {
  std::vector<std::string> pairs;
  for (const char* pair : {"t h", "th e", "a n", "an d", "i n", "o u", "e r", "o n", "r e", "l l", "s t", "e n"}) {
    pairs.emplace_back(pair);
  }
  const std::string space = byte_text(' ');
  for (const char* word : {"the", "and", "in", "st", "on", "re"}) pairs.push_back(space + " " + word);
  return pairs;
}

inline std::vector<std::string> tokens() {
  std::vector<std::string> all = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (uint32_t byte = 0; byte < 256; ++byte) all.push_back(byte_text(byte));
  for (std::string pair : merges()) all.push_back(pair.erase(pair.find(' '), 1));
  for (int32_t i = 0; all.size() < static_cast<size_t>(kTinyVocabulary); ++i) {
    all.push_back("word" + std::to_string(i));
  }
  return all;
}

// Halves of small non-negative multiples of 2^-12, which they hold exactly.
inline uint16_t half_of(uint32_t multiple) {
  if (multiple == 0) return 0;
  int exponent = 0;
  while ((multiple >> (exponent + 1)) != 0) ++exponent;  // 2^exponent <= multiple
  const uint32_t mantissa = exponent <= 10 ? multiple << (10 - exponent) : multiple >> (exponent - 10);
  return static_cast<uint16_t>(((exponent - 12 + 15) << 10) | (mantissa & 1023));
}

inline void put16(std::vector<uint8_t>& bytes, uint16_t value) {
  bytes.push_back(static_cast<uint8_t>(value));
  bytes.push_back(static_cast<uint8_t>(value >> 8));
}

// One block of 32 values of about the given size; its scale is a multiple of 2^-12.
inline void append_block(TinyTensor& tensor, float size, std::mt19937& random) {
  const bool is_wide = tensor.type == kTinyQ8_0;
  std::uniform_int_distribution<int> quant_of(is_wide ? -127 : 0, is_wide ? 127 : 15);
  std::uniform_real_distribution<float> spread(0.75F, 1.25F);
  const auto wanted = static_cast<uint32_t>(spread(random) * size * 2 * 4096 / (is_wide ? 127.0F : 7.5F));
  const uint32_t scale = wanted < 1 ? 1 : wanted & 0x7FF;
  const float step = static_cast<float>(scale) / 4096;
  put16(tensor.bytes, half_of(scale));
  // Q4_1 spells out the minimum that Q4_0 implies.
  if (tensor.type == kTinyQ4_1) put16(tensor.bytes, static_cast<uint16_t>(half_of(scale * 8) | 0x8000));
  int quants[32];
  for (int& quant : quants) {
    quant = quant_of(random);
    tensor.values.push_back(step * static_cast<float>(is_wide ? quant : quant - 8));
  }
  if (is_wide) {
    for (const int quant : quants) tensor.bytes.push_back(static_cast<uint8_t>(quant));
  } else {
    for (int i = 0; i < 16; ++i) tensor.bytes.push_back(static_cast<uint8_t>(quants[i] | quants[i + 16] << 4));
  }
}

inline TinyTensor make(std::string name, std::vector<uint64_t> dimensions, uint32_t type, float mean, float size,
                       std::mt19937& random) {
  TinyTensor tensor{std::move(name), std::move(dimensions), type, {}, {}};
  uint64_t count = 1;
  for (const uint64_t dimension : tensor.dimensions) count *= dimension;
  if (type == kTinyQ8_0 || type == kTinyQ4_0 || type == kTinyQ4_1) {
    for (uint64_t block = 0; block < count / 32; ++block) append_block(tensor, size, random);
    return tensor;
  }
  std::normal_distribution<float> normal(0, size);
  for (uint64_t i = 0; i < count; ++i) {
    auto bits = std::bit_cast<uint32_t>(mean + normal(random));
    if (type == kTinyBf16) bits &= 0xFFFF0000U;
    tensor.values.push_back(std::bit_cast<float>(bits));
    if (type == kTinyF32) put16(tensor.bytes, static_cast<uint16_t>(bits));
    put16(tensor.bytes, static_cast<uint16_t>(bits >> 16));
  }
  return tensor;
}

}  // namespace tiny

// Every tensor of a model, in file order.
inline std::vector<TinyTensor> tiny_tensors(const TinyShape& s) {
  std::mt19937 random(s.seed);
  std::vector<TinyTensor> all;
  auto matrix = [&](const std::string& name, uint64_t rows, uint64_t cols, float gain) {
    all.push_back(tiny::make(name, {cols, rows}, s.type, 0, gain / std::sqrt(static_cast<float>(cols)), random));
  };
  auto vector = [&](const std::string& name, uint64_t size) {
    all.push_back(tiny::make(name, {size}, kTinyF32, 1, 0.2F, random));
  };
  matrix("token_embd.weight", kTinyVocabulary, s.hidden, 4);
  for (uint32_t layer = 0; layer < s.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    vector(prefix + "attn_norm.weight", s.hidden);
    matrix(prefix + "attn_q.weight", uint64_t{s.heads} * s.head_dim, s.hidden, s.gain);
    matrix(prefix + "attn_k.weight", uint64_t{s.kv_heads} * s.head_dim, s.hidden, s.gain);
    matrix(prefix + "attn_v.weight", uint64_t{s.kv_heads} * s.head_dim, s.hidden, s.gain);
    matrix(prefix + "attn_output.weight", s.hidden, uint64_t{s.heads} * s.head_dim, s.gain);
    if (s.architecture == "gemma3") {
      for (const char* name : {"attn_q_norm.weight", "attn_k_norm.weight"}) vector(prefix + name, s.head_dim);
      for (const char* name : {"post_attention_norm.weight", "post_ffw_norm.weight"}) vector(prefix + name, s.hidden);
    }
    vector(prefix + "ffn_norm.weight", s.hidden);
    matrix(prefix + "ffn_gate.weight", s.intermediate, s.hidden, s.gain);
    matrix(prefix + "ffn_up.weight", s.intermediate, s.hidden, s.gain);
    matrix(prefix + "ffn_down.weight", s.hidden, s.intermediate, s.gain);
  }
  vector("output_norm.weight", s.hidden);
  if (!s.tied) matrix("output.weight", kTinyVocabulary, s.hidden, 4);
  return all;
}

// The file. `edit` may spoil the tensors first; bytes need not fit the dimensions then.
inline std::vector<uint8_t> tiny_gguf(const TinyShape& s,
                                      const std::function<void(std::vector<TinyTensor>&)>& edit = nullptr) {
  std::vector<TinyTensor> tensors = tiny_tensors(s);
  if (edit) edit(tensors);
  const std::vector<std::string> tokens = tiny::tokens(), merges = tiny::merges();
  constexpr uint64_t kKeys = 16;
  GgufWriter w;
  w.preamble(3, tensors.size(), kKeys + (s.window != 0 ? 1 : 0) + (s.add_bos ? 2 : 0) + s.keys.size());
  auto u32 = [&](const std::string& key, uint32_t value) { w.key(key, kGgufUint32).u32(value); };
  w.key("general.architecture", kGgufString).text(s.architecture);
  w.key("general.name", kGgufString).text("tiny");
  const std::string p = s.architecture + ".";
  u32(p + "block_count", s.layers);
  u32(p + "embedding_length", s.hidden);
  u32(p + "feed_forward_length", s.intermediate);
  u32(p + "attention.head_count", s.heads);
  u32(p + "attention.head_count_kv", s.kv_heads);
  u32(p + "context_length", s.context);
  w.key(p + "attention.layer_norm_rms_epsilon", kGgufFloat32).f32(1e-5F);
  w.key(p + "rope.freq_base", kGgufFloat32).f32(10000);
  if (s.window != 0) u32(p + "attention.sliding_window", s.window);
  for (const TinyKey& key : s.keys) {
    w.key(key.name, key.type);
    if (key.type == kGgufString) {
      w.text(key.text);
    } else {
      w.u32(key.bits);
    }
  }
  if (s.add_bos) {
    u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(kTinyEnd));
    w.key("tokenizer.ggml.add_bos_token", kGgufBool).number(1, 1);
  }
  w.key("tokenizer.ggml.model", kGgufString).text("gpt2");
  w.key("tokenizer.ggml.pre", kGgufString).text("smollm");
  w.array("tokenizer.ggml.tokens", kGgufString, tokens.size());
  for (const std::string& token : tokens) w.text(token);
  w.array("tokenizer.ggml.token_type", kGgufInt32, tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) w.u32(i < static_cast<size_t>(kTinyFirstByte) ? 3 : 1);
  w.array("tokenizer.ggml.merges", kGgufString, merges.size());
  for (const std::string& merge : merges) w.text(merge);
  u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(kTinyImEnd));
  uint64_t offset = 0;
  for (const TinyTensor& tensor : tensors) {
    w.tensor(tensor.name, tensor.dimensions, tensor.type, offset);
    offset += (tensor.bytes.size() + 31) / 32 * 32;
  }
  w.pad(32);
  for (const TinyTensor& tensor : tensors) {
    w.bytes.insert(w.bytes.end(), tensor.bytes.begin(), tensor.bytes.end());
    w.pad(32);
  }
  return w.bytes;
}

// A file of its own in the system's folder for such, removed with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::vector<uint8_t>& bytes) {
    static std::atomic<uint32_t> next{0};
    path_.append(P_tmpdir).append("/fastserve_test_").append(std::to_string(getpid()));
    path_.append("_").append(std::to_string(next++));
    rewrite(bytes);
  }
  explicit TemporaryFile(const TinyShape& shape) : TemporaryFile(tiny_gguf(shape)) {}
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void rewrite(const std::vector<uint8_t>& bytes) const {
    std::FILE* file = std::fopen(path_.c_str(), "wb");
    if (file == nullptr) return;
    if (!bytes.empty()) std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace fastserve::test
