// GGUF as a ModelSource.
#include "base/format.h"
#include "formats/gguf_header.h"
#include "formats/model_source.h"

namespace fastserve {
namespace {

class GgufSource final : public TableSource {
 public:
  static Result<std::unique_ptr<ModelSource>> create(std::unique_ptr<os::File> file) {
    FSV_ASSIGN(GgufHeader header, parse_gguf_header(*file));
    auto source = std::make_unique<GgufSource>();
    source->format_ = fastserve::format("gguf v", header.version);
    source->file_ = std::move(file);
    const Status status = source->set_tables(std::move(header.metadata), std::move(header.tensors));
    if (!status.ok()) {
      return Status(status.code(), fastserve::format("\"", source->file_->name(), "\": ", status.message()));
    }
    return std::unique_ptr<ModelSource>(std::move(source));
  }

  std::string_view format() const override { return format_; }
  uint64_t file_bytes() const override { return file_->size_bytes(); }

  Status read_tensor(const TensorInfo& tensor, uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    if (offset_bytes > tensor.size_bytes || size_bytes > tensor.size_bytes - offset_bytes) {
      return Status(StatusCode::kInvalidArgument,
                    fastserve::format("tensor ", quoted_name(tensor.name), ": bytes ", offset_bytes, " + ", size_bytes,
                                      " lie outside its ", tensor.size_bytes));
    }
    return file_->read_at(tensor.offset_bytes + offset_bytes, destination, size_bytes);
  }

 private:
  std::unique_ptr<os::File> file_;
  std::string format_;
};

}  // namespace

Result<std::unique_ptr<ModelSource>> open_gguf(std::unique_ptr<os::File> file) {
  return guarded([&] { return GgufSource::create(std::move(file)); });
}

Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path) {
  return guarded([&]() -> Result<std::unique_ptr<ModelSource>> {
    if (os::is_directory(path)) {
      return Status(StatusCode::kUnsupported, format("\"", path, "\" is a folder; a GGUF file is expected"));
    }
    FSV_ASSIGN(std::unique_ptr<os::File> file, os::open_file(path));
    return open_gguf(std::move(file));
  });
}

}  // namespace fastserve
