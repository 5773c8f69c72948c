// Header, token ids, then rows at their places.
#include "logits_file.h"

#include "exit_code.h"

namespace fastserve::cli {

namespace {

constexpr uint32_t kVersion = 1;

template <typename Value>
void put(std::ofstream& file, const Value* values, size_t count) {
  file.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count * sizeof(Value)));
}

}  // namespace

LogitsFile::LogitsFile(const std::string& path, const LogitsShape& shape, std::span<const int32_t> tokens)
    : path_(path), shape_(shape), file_(path, std::ios::binary | std::ios::trunc) {
  const uint32_t header[] = {kVersion, shape.context, shape.first_row, shape.vocabulary, shape.windows};
  file_.write("fsvlogit", 8);
  put(file_, header, std::size(header));
  put(file_, tokens.data(), tokens.size());
  if (!file_) throw Failure(FSV_ERROR_IO, path + ": cannot be written");
  rows_offset_ = 8 + sizeof header + tokens.size_bytes();
}

void LogitsFile::write_row(uint64_t window, uint64_t row, const float* logits) {
  const uint64_t index = window * shape_.rows() + row;
  file_.seekp(static_cast<std::streamoff>(rows_offset_ + index * shape_.vocabulary * sizeof(float)));
  put(file_, logits, shape_.vocabulary);
}

void LogitsFile::close() {
  file_.close();
  if (!file_) throw Failure(FSV_ERROR_IO, path_ + ": writing failed");
}

}  // namespace fastserve::cli
