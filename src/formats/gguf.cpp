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

class GgufOpening final : public SourceOpening {
 public:
  // A model's file; the other parts of a split one are found by `path`, from `files`.
  GgufOpening(ModelFiles& files, std::string_view path) : model_files_(&files), path_(path) {}
  // One file alone.
  explicit GgufOpening(std::unique_ptr<os::File> file) { begin_file(std::move(file)); }

  Result<bool> step() override {
    return guarded([&] { return advance(); });
  }
  std::unique_ptr<ModelSource> take() override { return std::move(source_); }

 private:
  Result<bool> advance();
  Status open_next();
  void begin_file(std::unique_ptr<os::File> file);
  Status end_file();
  Status begin_split(const os::File& file, uint64_t part_count);
  Status check_part(const os::File& file, const GgufHeader& header) const;
  Status check_parts() const;
  bool is_split() const { return !prefix_.empty(); }

  ModelFiles* model_files_ = nullptr;
  std::string path_;
  std::string prefix_;  // of the names of a split model's parts
  uint64_t part_count_ = 1;
  std::unique_ptr<os::File> file_;  // that is being read
  std::unique_ptr<GgufHeaderParser> parser_;
  std::vector<GgufHeader> headers_;
  std::vector<std::unique_ptr<os::File>> files_;
  std::unique_ptr<ModelSource> source_;
};

Result<bool> GgufOpening::advance() {
  if (headers_.size() == part_count_) {
    if (is_split()) FSV_TRY(check_parts());
    FSV_ASSIGN(source_, assemble(std::move(headers_), std::move(files_)));
    return true;
  }
  if (parser_ == nullptr) {
    FSV_TRY(open_next());
    return false;
  }
  FSV_ASSIGN(const bool parsed, parser_->step());
  if (parsed) FSV_TRY(end_file());
  return false;
}

Status GgufOpening::open_next() {
  const std::string part =
      format(prefix_, "-", five_digits(headers_.size() + 1), "-of-", five_digits(part_count_), ".gguf");
  FSV_ASSIGN(std::unique_ptr<os::File> file, model_files_->open(is_split() ? part : path_));
  begin_file(std::move(file));
  return {};
}

void GgufOpening::begin_file(std::unique_ptr<os::File> file) {
  file_ = std::move(file);
  parser_ = std::make_unique<GgufHeaderParser>(*file_);
}

// A file that turns out to be one of several is closed again: they are opened in their order.
Status GgufOpening::end_file() {
  GgufHeader header = parser_->take();
  parser_.reset();
  std::unique_ptr<os::File> file = std::move(file_);
  const uint64_t part_count = part_count_of(header);
  if (!is_split() && part_count > 1) return begin_split(*file, part_count);
  if (is_split()) FSV_TRY(check_part(*file, header));
  headers_.push_back(std::move(header));
  files_.push_back(std::move(file));
  return {};
}

Status GgufOpening::begin_split(const os::File& file, uint64_t part_count) {
  if (model_files_ == nullptr) {
    return Status(StatusCode::kUnsupported, format("\"", file.name(), "\" is one of ", part_count,
                                                   " files of a split model; open it by its path"));
  }
  if (part_count > kPartCountMax) {
    return Status(StatusCode::kUnsupported,
                  format("\"", path_, "\": split into ", part_count, " files, more than ", kPartCountMax));
  }
  prefix_ = split_prefix(path_, part_count);
  if (prefix_.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  format("\"", path_, "\" is one of ", part_count, " files of a split model; its name must end with ",
                         "-00001-of-", five_digits(part_count), ".gguf, so that the others can be found"));
  }
  part_count_ = part_count;
  return {};
}

// All metadata but "split.*" stand in the first part.
Status GgufOpening::check_part(const os::File& file, const GgufHeader& header) const {
  const uint64_t part = headers_.size();
  if (part_count_of(header) == part_count_ && integer_of(header, "split.no", UINT64_MAX) == part) return {};
  return part_error(file, format("is not part ", part + 1, " of ", part_count_, " of the model"));
}

Status GgufOpening::check_parts() const {
  uint64_t tensor_count = 0;
  for (const GgufHeader& header : headers_) tensor_count += header.tensors.size();
  const uint64_t expected = integer_of(headers_[0], "split.tensors.count", tensor_count);
  if (tensor_count == expected) return {};
  return part_error(*files_[0], format("the parts hold ", tensor_count, " tensors instead of ", expected));
}

}  // namespace

Result<std::unique_ptr<ModelSource>> open_gguf(std::unique_ptr<os::File> file) {
  GgufOpening opening(std::move(file));
  return finish_opening(opening);
}

std::unique_ptr<SourceOpening> begin_opening_gguf(ModelFiles& files, std::string_view path) {
  return std::make_unique<GgufOpening>(files, path);
}

}  // namespace fastserve
