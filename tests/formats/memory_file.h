// MemoryFile: an os::File over bytes in memory, for tests and fuzzers. Can be cut while it is "open".
#pragma once
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/os.h"

namespace fastserve {

class MemoryFile final : public os::File {
 public:
  explicit MemoryFile(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)), stated_size_(bytes_.size()) {}
  // Claims `stated_size` but holds only `bytes`: a file that was cut after its size was asked.
  MemoryFile(std::vector<uint8_t> bytes, uint64_t stated_size) : bytes_(std::move(bytes)), stated_size_(stated_size) {}

  uint64_t size_bytes() const override { return stated_size_; }
  std::string_view name() const override { return "memory"; }
  Identity identity() const override { return {}; }
  Status read_at(uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    if (offset_bytes > bytes_.size() || size_bytes > bytes_.size() - offset_bytes) {
      return Status(StatusCode::kCorrupt, "the file was cut");
    }
    if (size_bytes != 0) std::memcpy(destination, bytes_.data() + offset_bytes, size_bytes);
    return {};
  }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t stated_size_;
};

}  // namespace fastserve
