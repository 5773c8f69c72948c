// Refilling and the checks of BufferedReader.
#include "formats/buffered_reader.h"

#include <algorithm>

#include "base/format.h"

namespace fastserve {

Status BufferedReader::error(StatusCode code, uint64_t at_offset, std::string_view text) const {
  return Status(code, format("\"", file_.name(), "\", offset ", at_offset, ": ", text));
}

Status BufferedReader::past_the_end(uint64_t size_bytes, std::string_view what) const {
  return error(StatusCode::kCorrupt, offset(),
               format(what, " of ", size_bytes, " bytes passes the end of the file (", size_bytes_, " bytes)"));
}

// Moves the buffer on to the current offset.
Status BufferedReader::refill() {
  const uint64_t begin = offset();
  const auto count = static_cast<size_t>(std::min<uint64_t>(kBufferBytes, size_bytes_ - begin));
  buffer_.resize(count);
  buffer_offset_ = begin;
  position_ = 0;
  return file_.read_at(begin, buffer_.data(), count);
}

Status BufferedReader::view(size_t size_bytes, std::string_view what, const uint8_t** bytes) {
  if (size_bytes > buffer_.size() - position_) {
    if (size_bytes > remaining()) return past_the_end(size_bytes, what);
    FSV_TRY(refill());
  }
  *bytes = buffer_.data() + position_;
  position_ += size_bytes;
  return {};
}

Status BufferedReader::read_string(std::string_view what, uint64_t size_bytes_max, std::string& out) {
  const uint64_t begin = offset();
  const uint8_t* bytes = nullptr;
  FSV_TRY(view(8, what, &bytes));
  uint64_t left = load_little_endian<uint64_t>(bytes);
  if (left > remaining()) return past_the_end(left, what);
  if (left > size_bytes_max) {
    return error(StatusCode::kCorrupt, begin,
                 format(what, " is ", left, " bytes long, more than the ", size_bytes_max, " allowed"));
  }
  out.clear();
  out.reserve(static_cast<size_t>(left));
  while (left != 0) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(left, kViewBytesMax));
    FSV_TRY(view(count, what, &bytes));
    out.append(reinterpret_cast<const char*>(bytes), count);
    left -= count;
  }
  return {};
}

}  // namespace fastserve
