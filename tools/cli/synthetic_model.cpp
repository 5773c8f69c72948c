// GGUF, version 3, in memory: header, vocabulary and the list of tensors; tensors themselves are made as they are read.
#include "synthetic_model.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string_view>

namespace fastserve::cli {

namespace {

struct Shape {
  const char* name;
  const char* architecture;
  uint32_t layers, hidden, heads, kv_heads, head_dim, intermediate, vocabulary, context;
  float rope_base;
  bool is_tied, has_qk_norm;
};

constexpr Shape kShapes[] = {
    {"qwen-0.6b", "qwen3", 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1e6F, true, true},
    {"llama-1b", "llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 5e5F, true, false},
    {"llama-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 131072, 5e5F, false, false},
};

// Numbers as in GGUF.
struct Dtype {
  const char* name;
  uint32_t type, block_values, block_bytes;
};
constexpr Dtype kDtypes[] = {{"bf16", 30, 1, 2}, {"q8", 8, 32, 34}, {"q4", 2, 32, 18}};
constexpr uint32_t kF32 = 0;

enum ValueType : uint32_t { kUint32 = 4, kInt32 = 5, kFloat32 = 6, kString = 8, kArray = 9 };
constexpr uint64_t kAlignment = 32;
uint64_t aligned(uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

class Writer {
 public:
  template <typename T>
  void put(T value) {
    const auto* from = reinterpret_cast<const uint8_t*>(&value);  // GGUF is little-endian, as all we run on
    bytes.insert(bytes.end(), from, from + sizeof(T));
  }
  void text(std::string_view value) {
    put(uint64_t{value.size()});
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
  void key(std::string_view name, ValueType type) {
    ++key_count;
    text(name);
    put(static_cast<uint32_t>(type));
  }
  void number(std::string_view name, uint32_t value) {
    key(name, kUint32);
    put(value);
  }
  void real(std::string_view name, float value) {
    key(name, kFloat32);
    put(value);
  }
  void string(std::string_view name, std::string_view value) {
    key(name, kString);
    text(value);
  }
  void array(std::string_view name, ValueType type, uint64_t count) {
    key(name, kArray);
    put(static_cast<uint32_t>(type));
    put(count);
  }
  std::vector<uint8_t> bytes;
  uint64_t key_count = 0;
};

void put_shape(Writer& w, const Shape& shape, const std::string& name) {
  const std::string p = std::string(shape.architecture) + ".";
  w.string("general.architecture", shape.architecture);
  w.string("general.name", name);
  w.number(p + "block_count", shape.layers);
  w.number(p + "embedding_length", shape.hidden);
  w.number(p + "feed_forward_length", shape.intermediate);
  w.number(p + "attention.head_count", shape.heads);
  w.number(p + "attention.head_count_kv", shape.kv_heads);
  w.number(p + "attention.key_length", shape.head_dim);
  w.number(p + "attention.value_length", shape.head_dim);
  w.number(p + "context_length", shape.context);
  w.real(p + "attention.layer_norm_rms_epsilon", 1e-5F);
  w.real(p + "rope.freq_base", shape.rope_base);
}

// Words that stand for nothing; the first ends a text.
void put_vocabulary(Writer& w, const Shape& shape) {
  w.string("tokenizer.ggml.model", "gpt2");
  w.string("tokenizer.ggml.pre", "gpt-2");
  w.array("tokenizer.ggml.tokens", kString, shape.vocabulary);
  w.text("<|end|>");
  for (uint32_t i = 1; i < shape.vocabulary; ++i) w.text("w" + std::to_string(i));
  w.array("tokenizer.ggml.token_type", kInt32, shape.vocabulary);
  w.put(int32_t{3});
  for (uint32_t i = 1; i < shape.vocabulary; ++i) w.put(int32_t{1});
  w.array("tokenizer.ggml.merges", kString, 0);
  w.number("tokenizer.ggml.eos_token_id", 0);
}

struct TensorLine {
  std::string name;
  std::vector<uint64_t> dimensions;  // columns first
};

std::vector<TensorLine> tensor_lines(const Shape& s) {
  std::vector<TensorLine> lines;
  const uint64_t hidden = s.hidden, q = uint64_t{s.heads} * s.head_dim, kv = uint64_t{s.kv_heads} * s.head_dim;
  lines.push_back({"token_embd.weight", {hidden, s.vocabulary}});
  for (uint32_t layer = 0; layer < s.layers; ++layer) {
    const std::string p = "blk." + std::to_string(layer) + ".";
    lines.push_back({p + "attn_norm.weight", {hidden}});
    lines.push_back({p + "attn_q.weight", {hidden, q}});
    lines.push_back({p + "attn_k.weight", {hidden, kv}});
    lines.push_back({p + "attn_v.weight", {hidden, kv}});
    lines.push_back({p + "attn_output.weight", {q, hidden}});
    if (s.has_qk_norm) {
      lines.push_back({p + "attn_q_norm.weight", {s.head_dim}});
      lines.push_back({p + "attn_k_norm.weight", {s.head_dim}});
    }
    lines.push_back({p + "ffn_norm.weight", {hidden}});
    lines.push_back({p + "ffn_gate.weight", {hidden, s.intermediate}});
    lines.push_back({p + "ffn_up.weight", {hidden, s.intermediate}});
    lines.push_back({p + "ffn_down.weight", {s.intermediate, hidden}});
  }
  lines.push_back({"output_norm.weight", {hidden}});
  if (!s.is_tied) lines.push_back({"output.weight", {hidden, s.vocabulary}});
  return lines;
}

// Small values of both signs, as weights have them; an odd number of blocks, so that rows differ.
std::vector<uint8_t> make_pattern(const Dtype& dtype) {
  constexpr uint32_t kBlocks = 8191;
  std::mt19937 random(1);
  std::vector<uint8_t> pattern;
  pattern.reserve(size_t{kBlocks} * dtype.block_bytes);
  for (uint32_t block = 0; block < kBlocks; ++block) {
    if (dtype.block_values == 1) {
      const auto bits = static_cast<uint16_t>(0x3C00 + random() % 0x100 + (random() % 2) * 0x8000);  // +-2^-7 to 2^-5
      pattern.push_back(static_cast<uint8_t>(bits));
      pattern.push_back(static_cast<uint8_t>(bits >> 8));
      continue;
    }
    const uint16_t scale = dtype.block_bytes == 34 ? 0x0A00 : 0x1A00;  // halves: values of about 2^-6
    pattern.push_back(static_cast<uint8_t>(scale));
    pattern.push_back(static_cast<uint8_t>(scale >> 8));
    for (uint32_t i = 2; i < dtype.block_bytes; ++i) pattern.push_back(static_cast<uint8_t>(random()));
  }
  return pattern;
}

template <typename Item, size_t kCount>
const Item& named(const Item (&items)[kCount], const std::string& name) {
  return *std::find_if(std::begin(items), std::end(items) - 1, [&](const Item& item) { return name == item.name; });
}

template <typename Item, size_t kCount>
std::vector<std::string> names_of(const Item (&items)[kCount]) {
  std::vector<std::string> names;
  for (const Item& item : items) names.emplace_back(item.name);
  return names;
}

}  // namespace

std::vector<std::string> synthetic_shapes() { return names_of(kShapes); }
std::vector<std::string> synthetic_dtypes() { return names_of(kDtypes); }

SyntheticModel::SyntheticModel(const std::string& shape_name, const std::string& dtype_name)
    : name_(shape_name + "-" + dtype_name) {
  const Shape& shape = named(kShapes, shape_name);
  const Dtype& dtype = named(kDtypes, dtype_name);
  is_tied_ = shape.is_tied;
  pattern_ = make_pattern(dtype);
  Writer keys, infos;
  put_shape(keys, shape, name_);
  put_vocabulary(keys, shape);
  const std::vector<TensorLine> lines = tensor_lines(shape);
  uint64_t offset = 0;
  for (const TensorLine& line : lines) {
    const bool is_vector = line.dimensions.size() == 1;
    uint64_t count = 1;
    infos.text(line.name);
    infos.put(static_cast<uint32_t>(line.dimensions.size()));
    for (const uint64_t dimension : line.dimensions) {
      infos.put(dimension);
      count *= dimension;
    }
    infos.put(is_vector ? kF32 : dtype.type);
    infos.put(offset);
    const uint64_t bytes = is_vector ? count * sizeof(float) : count / dtype.block_values * dtype.block_bytes;
    tensors_.push_back({offset, offset + bytes, is_vector});
    offset = aligned(offset + bytes);
  }
  Writer head;
  for (const char c : {'G', 'G', 'U', 'F'}) head.put(c);
  head.put(uint32_t{3});
  head.put(uint64_t{lines.size()});
  head.put(keys.key_count);
  head_ = std::move(head.bytes);
  head_.insert(head_.end(), keys.bytes.begin(), keys.bytes.end());
  head_.insert(head_.end(), infos.bytes.begin(), infos.bytes.end());
  head_.resize(aligned(head_.size()));
  for (Tensor& tensor : tensors_) {
    tensor.begin += head_.size();
    tensor.end += head_.size();
  }
  size_bytes_ = head_.size() + offset;
  fsv_io_init(&io_, sizeof(io_));
  io_.context = this;
  io_.open = open;
  io_.read_at = read_at;
}

fsv_status SyntheticModel::open(void* context, const char*, size_t, void** file, uint64_t* size_bytes) {
  *file = context;
  *size_bytes = static_cast<SyntheticModel*>(context)->size_bytes_;
  return FSV_OK;
}

// Vectors are norms: ones.
void SyntheticModel::read_tensor(const Tensor& tensor, uint64_t offset, uint8_t* out, uint64_t count) const {
  if (tensor.is_vector) {
    const float one = 1;
    for (uint64_t i = 0; i < count; ++i) {
      out[i] = reinterpret_cast<const uint8_t*>(&one)[(offset + i - tensor.begin) % sizeof(float)];
    }
    return;
  }
  uint64_t at = (offset - tensor.begin) % pattern_.size();
  while (count > 0) {
    const uint64_t run = std::min<uint64_t>(count, pattern_.size() - at);
    std::memcpy(out, pattern_.data() + at, run);
    out += run;
    count -= run;
    at = 0;
  }
}

fsv_status SyntheticModel::read_at(void* context, void*, uint64_t offset, void* buffer, size_t size_bytes) {
  const auto& model = *static_cast<SyntheticModel*>(context);
  auto* out = static_cast<uint8_t*>(buffer);
  const uint64_t end = offset + size_bytes;
  std::memset(out, 0, size_bytes);
  if (offset < model.head_.size()) {
    std::memcpy(out, model.head_.data() + offset, std::min<uint64_t>(size_bytes, model.head_.size() - offset));
  }
  auto next = std::partition_point(model.tensors_.begin(), model.tensors_.end(),
                                   [&](const Tensor& tensor) { return tensor.end <= offset; });
  for (; next != model.tensors_.end() && next->begin < end; ++next) {
    const uint64_t begin = std::max(next->begin, offset);
    model.read_tensor(*next, begin, out + (begin - offset), std::min(next->end, end) - begin);
  }
  return FSV_OK;
}

}  // namespace fastserve::cli
