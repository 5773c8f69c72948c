// Files behind the host's fsv_io callbacks.
#include "api/host_hooks.h"
#include "api/shim.h"

namespace fastserve::api {
namespace {

class HostFile final : public os::File {
 public:
  HostFile(const fsv_io& io, std::string name) : io_(io), name_(std::move(name)) {}
  ~HostFile() override {
    if (is_open_ && io_.close != nullptr) io_.close(io_.context, file_);
  }
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;

  Status open() {
    const fsv_status status = io_.open(io_.context, name_.c_str(), name_.size(), &file_, &size_bytes_);
    if (status != FSV_OK) return named_failure(status, "open");
    is_open_ = true;
    if (size_bytes_ > static_cast<uint64_t>(INT64_MAX)) {
      return Status(StatusCode::kIo, format("\"", name_, "\": the host's open gave the size ", size_bytes_));
    }
    return {};
  }
  uint64_t size_bytes() const override { return size_bytes_; }
  std::string_view name() const override { return name_; }
  Identity identity() const override { return identity_; }
  Status read_at(uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    if (size_bytes == 0) return {};
    if (offset_bytes > size_bytes_ || size_bytes > size_bytes_ - offset_bytes) {
      return Status(StatusCode::kCorrupt, format("\"", name_, "\" of ", size_bytes_, " bytes ends before offset ",
                                                 offset_bytes, " + ", size_bytes));
    }
    const fsv_status status = io_.read_at(io_.context, file_, offset_bytes, destination, size_bytes);
    return status == FSV_OK ? Status() : named_failure(status, "read_at");
  }

 private:
  Status named_failure(fsv_status status, std::string_view what) const {
    const Status failure = host_failure(status, what);
    return Status(failure.code(), format("\"", name_, "\": ", failure.message()));
  }

  const fsv_io io_;
  const std::string name_;
  void* file_ = nullptr;
  bool is_open_ = false;
  uint64_t size_bytes_ = 0;
  const Identity identity_ = unique_identity();
};

class HostFiles final : public ModelFiles {
 public:
  explicit HostFiles(const fsv_io& io) : io_(io) {}
  ~HostFiles() override {
    if (io_.release != nullptr && is_armed_) io_.release(io_.context);
  }
  HostFiles(const HostFiles&) = delete;
  HostFiles& operator=(const HostFiles&) = delete;

  void arm() noexcept override { is_armed_ = true; }

  Result<std::unique_ptr<os::File>> open(std::string_view name) override {
    return guarded([&]() -> Result<std::unique_ptr<os::File>> {
      auto file = std::make_unique<HostFile>(io_, std::string(name));
      FSV_TRY(file->open());
      return std::unique_ptr<os::File>(std::move(file));
    });
  }
  // A host cannot be asked what a name is: a folder's name says so itself.
  bool is_folder(std::string_view name) override { return !name.empty() && name.back() == '/'; }

 private:
  const fsv_io io_;
  bool is_armed_ = false;
};

}  // namespace

Status host_failure(fsv_status status, std::string_view what) {
  const bool is_known = status > FSV_OK && status <= FSV_ERROR_TEMPLATE;
  return Status(
      is_known ? static_cast<StatusCode>(status) : StatusCode::kIo,
      format("the host's ", what, " returned ", is_known ? std::string(fsv_status_name(status)) : format(status)));
}

Result<std::shared_ptr<ModelFiles>> host_files(const fsv_io* io, const char* name) {
  FSV_ASSIGN(const fsv_io checked, config_argument(io, fsv_io{}, name));
  if (checked.open == nullptr || checked.read_at == nullptr) {
    return invalid(format(name, ": open and read_at must not be NULL"));
  }
  return std::shared_ptr<ModelFiles>(std::make_shared<HostFiles>(checked));
}

}  // namespace fastserve::api
