// Many strings in one block of memory: a vocabulary of 262,000 tokens takes 3 MB instead of 12.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fastserve {

// At most 4 GiB in all; who fills it from a file checks that.
class StringTable {
 public:
  void reserve(size_t count, size_t size_bytes) {
    ends_.reserve(count);
    bytes_.reserve(size_bytes);
  }
  void push_back(std::string_view text) {
    bytes_.append(text);
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  size_t size() const { return ends_.size(); }
  size_t size_bytes() const { return bytes_.size(); }
  std::string_view operator[](size_t i) const {
    const uint32_t start = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + start, ends_[i] - start};
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

}  // namespace fastserve
