// BufferedReader: forward reading of little-endian values from an os::File. Every size is checked against what is
// left of the file before it is used; errors name the file and the offset.
#pragma once
#include <concepts>
#include <cstring>
#include <string>
#include <vector>

#include "base/little_endian.h"
#include "base/os.h"
#include "base/status.h"

namespace fastserve {

class BufferedReader {
 public:
  explicit BufferedReader(os::File& file) : file_(file), size_bytes_(file.size_bytes()) {}

  uint64_t offset() const { return buffer_offset_ + position_; }
  uint64_t remaining() const { return size_bytes_ - offset(); }
  // "name", offset N: text
  Status error(StatusCode code, uint64_t at_offset, std::string_view text) const;

  template <std::unsigned_integral T>
  Result<T> read(std::string_view what) {
    const uint8_t* bytes = nullptr;
    FSV_TRY(view(sizeof(T), what, &bytes));
    return load_little_endian<T>(bytes);
  }
  // A 64-bit length, then that many bytes.
  Status read_string(std::string_view what, uint64_t size_bytes_max, std::string& out);
  // A view of the next bytes, valid until the next call. `size_bytes` is at most kViewBytesMax.
  Status view(size_t size_bytes, std::string_view what, const uint8_t** bytes);

  static constexpr size_t kViewBytesMax = size_t{1} << 16;

 private:
  static constexpr size_t kBufferBytes = size_t{1} << 18;
  Status past_the_end(uint64_t size_bytes, std::string_view what) const;
  Status refill();

  os::File& file_;
  uint64_t size_bytes_;
  std::vector<uint8_t> buffer_;
  uint64_t buffer_offset_ = 0;  // in the file, of buffer_[0]
  size_t position_ = 0;         // in the buffer
};

}  // namespace fastserve
