// The system's files, and one file in memory.
#include "formats/model_files.h"

#include <atomic>
#include <cstring>

#include "base/format.h"

namespace fastserve {
namespace {

class SystemFiles final : public ModelFiles {
 public:
  Result<std::unique_ptr<os::File>> open(std::string_view name) override { return os::open_file(name); }
  bool is_folder(std::string_view name) override { return os::is_directory(name); }
};

class BufferFile final : public os::File {
 public:
  BufferFile(const uint8_t* data, size_t size_bytes, const Identity& identity)
      : data_(data), size_bytes_(size_bytes), identity_(identity) {}
  uint64_t size_bytes() const override { return size_bytes_; }
  std::string_view name() const override { return "buffer"; }
  Identity identity() const override { return identity_; }
  Status read_at(uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    if (offset_bytes > size_bytes_ || size_bytes > size_bytes_ - offset_bytes) {
      return Status(StatusCode::kCorrupt, format("the buffer of ", size_bytes_, " bytes ends before offset ",
                                                 offset_bytes, " + ", size_bytes));
    }
    if (size_bytes != 0) std::memcpy(destination, data_ + offset_bytes, size_bytes);
    return {};
  }

 private:
  const uint8_t* data_;
  size_t size_bytes_;
  Identity identity_;
};

class MemoryFiles final : public ModelFiles {
 public:
  MemoryFiles(const void* data, size_t size_bytes, std::function<void()> release)
      : data_(static_cast<const uint8_t*>(data)), size_bytes_(size_bytes), release_(std::move(release)) {}
  ~MemoryFiles() override {
    if (release_ && is_armed_) release_();
  }
  MemoryFiles(const MemoryFiles&) = delete;
  MemoryFiles& operator=(const MemoryFiles&) = delete;

  Result<std::unique_ptr<os::File>> open(std::string_view) override {
    return std::unique_ptr<os::File>(std::make_unique<BufferFile>(data_, size_bytes_, identity_));
  }
  bool is_folder(std::string_view) override { return false; }
  void arm() noexcept override { is_armed_ = true; }

 private:
  const uint8_t* data_;
  size_t size_bytes_;
  std::function<void()> release_;
  bool is_armed_ = false;
  const os::File::Identity identity_ = unique_identity();
};

}  // namespace

std::shared_ptr<ModelFiles> system_files() { return std::make_shared<SystemFiles>(); }

std::shared_ptr<ModelFiles> memory_files(const void* data, size_t size_bytes, std::function<void()> release) {
  return std::make_shared<MemoryFiles>(data, size_bytes, std::move(release));
}

os::File::Identity unique_identity() {
  static std::atomic<uint64_t> next{1};
  os::File::Identity identity;
  identity.device = UINT64_MAX;  // no system numbers its devices so
  identity.inode = next.fetch_add(1, std::memory_order_relaxed);
  return identity;
}

}  // namespace fastserve
