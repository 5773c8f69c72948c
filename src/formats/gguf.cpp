// GGUF as a ModelSource: one file, or the parts of a split model ("name-00001-of-00003.gguf").
#include "formats/gguf.h"

#include <algorithm>

#include "base/format.h"
#include "formats/gguf_header.h"

namespace fastserve {
namespace {

constexpr uint64_t kPartCountMax = 512;  // every part is an open file while the model loads

class GgufSource final : public TableSource {
 public:
  std::string_view format() const override { return format_; }
  uint64_t file_bytes() const override {
    uint64_t bytes = 0;
    for (const auto& file : files_) bytes += file->size_bytes();
    return bytes;
  }
  os::File::Identity identity() const override {
    std::vector<os::File::Identity> identities;
    for (const auto& file : files_) identities.push_back(file->identity());
    return combined_identity(identities);
  }

  Status read_tensor(const TensorInfo& tensor, uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    FSV_TRY(check_tensor_range(tensor, offset_bytes, size_bytes));
    if (tensor.part >= files_.size()) return Status(StatusCode::kInvalidArgument, "a tensor of another model");
    return files_[tensor.part]->read_at(tensor.offset_bytes + offset_bytes, destination, size_bytes);
  }

  // `headers` and `files` are the parts in order.
  Status assemble(std::vector<GgufHeader> headers, std::vector<std::unique_ptr<os::File>> files) {
    format_ = fastserve::format("gguf v", headers[0].version);
    files_ = std::move(files);
    std::vector<TensorInfo> tensors = std::move(headers[0].tensors);
    for (uint32_t part = 1; part < headers.size(); ++part) {
      for (TensorInfo& tensor : headers[part].tensors) {
        tensor.part = part;
        tensors.push_back(std::move(tensor));
      }
    }
    const Status status = set_tables(std::move(headers[0].metadata), std::move(tensors));
    if (status.ok()) return status;
    return Status(status.code(), fastserve::format("\"", files_[0]->name(), "\": ", status.message()));
  }

 private:
  std::string format_;
  std::vector<std::unique_ptr<os::File>> files_;
};

Result<std::unique_ptr<ModelSource>> assemble(std::vector<GgufHeader> headers,
                                              std::vector<std::unique_ptr<os::File>> files) {
  auto source = std::make_unique<GgufSource>();
  FSV_TRY(source->assemble(std::move(headers), std::move(files)));
  return std::unique_ptr<ModelSource>(std::move(source));
}

// Value of an integer key, `fallback` where it is missing or of another type.
uint64_t integer_of(const GgufHeader& header, std::string_view key, uint64_t fallback) {
  for (const auto& [name, value] : header.metadata) {
    if (name != key) continue;
    if (value.type == MetaType::kUint) return value.uint_value;
    if (value.type == MetaType::kInt && value.int_value >= 0) return static_cast<uint64_t>(value.int_value);
  }
  return fallback;
}

uint64_t part_count_of(const GgufHeader& header) { return integer_of(header, "split.count", 1); }

std::string five_digits(uint64_t number) {
  const std::string digits = format(number);
  return std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
}

// "dir/name-00002-of-00003.gguf" -> "dir/name"; empty if the path does not end so.
std::string_view split_prefix(std::string_view path, uint64_t part_count) {
  const std::string end = format("-of-", five_digits(part_count), ".gguf");
  const size_t tail = 6 + end.size();  // with "-00002"
  if (path.size() <= tail || path.substr(path.size() - end.size()) != end) return {};
  const std::string_view number = path.substr(path.size() - tail, 6);
  if (number[0] != '-' || number.find_first_not_of("0123456789", 1) != std::string_view::npos) return {};
  return path.substr(0, path.size() - tail);
}

Status part_error(const os::File& file, std::string_view text) {
  return Status(StatusCode::kCorrupt, format("\"", file.name(), "\": ", text));
}

// Opens every part of the model that `path` is one part of. All metadata but "split.*" stand in the first.
Result<std::unique_ptr<ModelSource>> open_parts(ModelFiles& model_files, std::string_view path, uint64_t part_count) {
  if (part_count > kPartCountMax) {
    return Status(StatusCode::kUnsupported,
                  format("\"", path, "\": split into ", part_count, " files, more than ", kPartCountMax));
  }
  const std::string prefix(split_prefix(path, part_count));
  if (prefix.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  format("\"", path, "\" is one of ", part_count, " files of a split model; its name must end with ",
                         "-00001-of-", five_digits(part_count), ".gguf, so that the others can be found"));
  }
  std::vector<GgufHeader> headers;
  std::vector<std::unique_ptr<os::File>> files;
  uint64_t tensor_count = 0;
  for (uint64_t part = 0; part < part_count; ++part) {
    FSV_ASSIGN(std::unique_ptr<os::File> file,
               model_files.open(format(prefix, "-", five_digits(part + 1), "-of-", five_digits(part_count), ".gguf")));
    FSV_ASSIGN(GgufHeader header, parse_gguf_header(*file));
    if (part_count_of(header) != part_count || integer_of(header, "split.no", UINT64_MAX) != part) {
      return part_error(*file, format("is not part ", part + 1, " of ", part_count, " of the model"));
    }
    tensor_count += header.tensors.size();
    headers.push_back(std::move(header));
    files.push_back(std::move(file));
  }
  const uint64_t expected = integer_of(headers[0], "split.tensors.count", tensor_count);
  if (tensor_count != expected) {
    return part_error(*files[0], format("the parts hold ", tensor_count, " tensors instead of ", expected));
  }
  return assemble(std::move(headers), std::move(files));
}

Result<std::unique_ptr<ModelSource>> open_one(std::unique_ptr<os::File> file, GgufHeader header) {
  std::vector<GgufHeader> headers;
  std::vector<std::unique_ptr<os::File>> files;
  headers.push_back(std::move(header));
  files.push_back(std::move(file));
  return assemble(std::move(headers), std::move(files));
}

}  // namespace

Result<std::unique_ptr<ModelSource>> open_gguf(std::unique_ptr<os::File> file) {
  return guarded([&]() -> Result<std::unique_ptr<ModelSource>> {
    FSV_ASSIGN(GgufHeader header, parse_gguf_header(*file));
    if (const uint64_t count = part_count_of(header); count > 1) {
      return Status(StatusCode::kUnsupported,
                    format("\"", file->name(), "\" is one of ", count, " files of a split model; open it by its path"));
    }
    return open_one(std::move(file), std::move(header));
  });
}

Result<std::unique_ptr<ModelSource>> open_gguf_path(ModelFiles& files, std::string_view path) {
  return guarded([&]() -> Result<std::unique_ptr<ModelSource>> {
    FSV_ASSIGN(std::unique_ptr<os::File> file, files.open(path));
    FSV_ASSIGN(GgufHeader header, parse_gguf_header(*file));
    if (const uint64_t count = part_count_of(header); count > 1) return open_parts(files, path, count);
    return open_one(std::move(file), std::move(header));
  });
}

}  // namespace fastserve
