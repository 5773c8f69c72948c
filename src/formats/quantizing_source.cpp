// QuantizingSource: everything but types, sizes and bytes of some matrices is the inner source's.
#include "formats/quantizing_source.h"

#include <algorithm>
#include <cstring>

#include "base/format.h"
#include "tensor/quantize.h"

namespace fastserve {
namespace {

bool is_float(uint32_t type) {
  return type == static_cast<uint32_t>(DType::kF32) || type == static_cast<uint32_t>(DType::kF16) ||
         type == static_cast<uint32_t>(DType::kBF16);
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// The type that a tensor gets.
uint32_t target_of(const TensorInfo& tensor, DType wanted) {
  if (!is_float(tensor.type) || tensor.dimension_count < 2 || !ends_with(tensor.name, ".weight")) return tensor.type;
  if (ends_with(tensor.name, "ffn_gate_inp.weight") || tensor.name == "position_embd.weight") return tensor.type;
  const bool outer = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
  const bool below_8_bits = !is_float(static_cast<uint32_t>(wanted)) && wanted != DType::kQ8_0;
  const DType type = outer && below_8_bits ? DType::kQ8_0 : wanted;
  const auto traits = dtype_traits(static_cast<uint32_t>(type));
  return tensor.dimensions[0] % traits->block_elements == 0 ? static_cast<uint32_t>(type) : tensor.type;
}

class QuantizingSource final : public ModelSource {
 public:
  QuantizingSource(std::unique_ptr<ModelSource> inner, DType type) : inner_(std::move(inner)) {
    for (TensorInfo tensor : inner_->tensors()) {
      tensor.type = target_of(tensor, type);
      tensor.size_bytes = static_cast<uint64_t>(row_bytes(static_cast<DType>(tensor.type), tensor.element_count()));
      tensors_.push_back(std::move(tensor));
    }
  }

  std::string_view format() const override { return inner_->format(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const override {
    const TensorInfo* inner = inner_->find_tensor(name);
    return inner == nullptr ? nullptr : &tensors_[static_cast<size_t>(inner - inner_->tensors().data())];
  }
  const MetaValue* find(std::string_view key) const override { return inner_->find(key); }
  std::vector<std::string_view> keys() const override { return inner_->keys(); }
  uint64_t file_bytes() const override { return inner_->file_bytes(); }
  os::File::Identity identity() const override { return inner_->identity(); }
  Result<std::unique_ptr<os::File>> open_side_file(std::string_view name) const override {
    return inner_->open_side_file(name);
  }

  Status read_tensor(const TensorInfo& tensor, uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    return guarded([&] { return read_part(tensor, offset_bytes, static_cast<uint8_t*>(destination), size_bytes); });
  }

 private:
  Status read_part(const TensorInfo& tensor, uint64_t offset_bytes, uint8_t* destination, size_t size_bytes);

  std::unique_ptr<ModelSource> inner_;
  std::vector<TensorInfo> tensors_;
};

Status QuantizingSource::read_part(const TensorInfo& tensor, uint64_t offset_bytes, uint8_t* destination,
                                   size_t size_bytes) {
  const TensorInfo* source = inner_->find_tensor(tensor.name);
  const TensorInfo* own = find_tensor(tensor.name);
  if (source == nullptr || own->size_bytes != tensor.size_bytes) {
    return Status(StatusCode::kInvalidArgument, "a tensor of another model");
  }
  if (own->type == source->type) return inner_->read_tensor(*source, offset_bytes, destination, size_bytes);
  if (offset_bytes > own->size_bytes || size_bytes > own->size_bytes - offset_bytes) {
    return Status(StatusCode::kInvalidArgument,
                  fastserve::format("bytes ", offset_bytes, " + ", size_bytes, " lie outside tensor ", tensor.name));
  }
  const auto from = static_cast<DType>(source->type), to = static_cast<DType>(own->type);
  const int64_t cols = own->dimensions[0];
  const auto from_bytes = static_cast<size_t>(row_bytes(from, cols)),
             to_bytes = static_cast<size_t>(row_bytes(to, cols));
  std::vector<uint8_t> raw, packed(to_bytes);
  std::vector<float> floats(static_cast<size_t>(cols));
  const size_t batch_max = std::max<size_t>(1, (size_t{1} << 20) / from_bytes);
  while (size_bytes != 0) {
    const uint64_t row = offset_bytes / to_bytes;
    const uint64_t row_end = (offset_bytes + size_bytes + to_bytes - 1) / to_bytes;
    const auto batch = static_cast<size_t>(std::min<uint64_t>(batch_max, row_end - row));
    raw.resize(batch * from_bytes);
    FSV_TRY(inner_->read_tensor(*source, row * from_bytes, raw.data(), raw.size()));
    for (size_t i = 0; i < batch; ++i) {
      dequantize_row(from, raw.data() + i * from_bytes, floats.data(), cols);
      quantize_row(to, floats.data(), packed.data(), cols);
      const auto inner = static_cast<size_t>(offset_bytes % to_bytes);
      const size_t count = std::min(size_bytes, to_bytes - inner);
      std::memcpy(destination, packed.data() + inner, count);
      destination += count;
      offset_bytes += count;
      size_bytes -= count;
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ModelSource>> quantize_on_load(std::unique_ptr<ModelSource> source, DType type) {
  return guarded([&]() -> Result<std::unique_ptr<ModelSource>> {
    if (!can_quantize(type)) {
      const char* name = gguf_type_name(static_cast<uint32_t>(type));
      return Status(StatusCode::kUnsupported,
                    format("weights cannot be quantised to ", name != nullptr ? name : "this type", " while loading"));
    }
    return std::unique_ptr<ModelSource>(std::make_unique<QuantizingSource>(std::move(source), type));
  });
}

}  // namespace fastserve
