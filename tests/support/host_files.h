// Files that a test keeps in memory and hands to the library through fsv_io, with a failure at a chosen call.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "fastserve.h"

namespace fastserve::test {

class HostFiles {
 public:
  std::map<std::string, std::vector<uint8_t>> files;
  // The n-th call of open and read_at fails with `failure`; 0: none does.
  std::atomic<uint64_t> fail_at{0};
  fsv_status failure = FSV_ERROR_IO;
  // Files end here for reads, whatever size open gave: truncated while they are read.
  uint64_t cut_bytes = UINT64_MAX;

  std::atomic<uint64_t> call_count{0}, read_bytes{0};
  std::atomic<int> open_count{0}, release_count{0};
  std::vector<std::string> opened;  // names, in order

  fsv_io io() {
    fsv_io io;
    fsv_io_init(&io, sizeof(io));
    io.context = this;
    io.open = [](void* self, const char* name, size_t size, void** file, uint64_t* size_bytes) {
      return static_cast<HostFiles*>(self)->open(std::string(name, size), file, size_bytes);
    };
    io.read_at = [](void* self, void* file, uint64_t offset, void* buffer, size_t size) {
      return static_cast<HostFiles*>(self)->read(*static_cast<std::vector<uint8_t>*>(file), offset, buffer, size);
    };
    io.close = [](void* self, void*) { --static_cast<HostFiles*>(self)->open_count; };
    io.release = [](void* self) { ++static_cast<HostFiles*>(self)->release_count; };
    return io;
  }

 private:
  bool must_fail() { return ++call_count == fail_at.load(); }
  fsv_status open(const std::string& name, void** file, uint64_t* size_bytes) {
    if (must_fail()) return failure;
    const std::lock_guard lock(mutex_);
    const auto found = files.find(name);
    if (found == files.end()) return FSV_ERROR_NOT_FOUND;
    opened.push_back(name);
    ++open_count;
    *file = &found->second;
    *size_bytes = found->second.size();
    return FSV_OK;
  }
  fsv_status read(const std::vector<uint8_t>& bytes, uint64_t offset, void* buffer, size_t size) {
    if (must_fail()) return failure;
    if (offset + size > std::min<uint64_t>(bytes.size(), cut_bytes)) return FSV_ERROR_CORRUPT;
    std::memcpy(buffer, bytes.data() + offset, size);
    read_bytes += size;
    return FSV_OK;
  }

  std::mutex mutex_;
};

}  // namespace fastserve::test
