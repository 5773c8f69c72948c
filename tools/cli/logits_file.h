// Writes full logits over windows of a text, for comparison with other engines. bench/quality/logits_file.py describes
// the format and reads it.
#ifndef FASTSERVE_CLI_LOGITS_FILE_H
#define FASTSERVE_CLI_LOGITS_FILE_H

#include <cstdint>
#include <fstream>
#include <span>
#include <string>

namespace fastserve::cli {

struct LogitsShape {
  uint32_t context = 0;    // tokens of a window
  uint32_t first_row = 0;  // rows before it are not kept, nor is the last one
  uint32_t vocabulary = 0;
  uint32_t windows = 0;

  uint64_t rows() const { return context - 1 - first_row; }
};

class LogitsFile {
 public:
  // `tokens`: all windows in order, as evaluated. Throws Failure.
  LogitsFile(const std::string& path, const LogitsShape& shape, std::span<const int32_t> tokens);
  // Row `row` counts from the first one kept. In any order.
  void write_row(uint64_t window, uint64_t row, const float* logits);
  void close();  // throws Failure where anything could not be written

 private:
  std::string path_;
  LogitsShape shape_;
  std::ofstream file_;
  uint64_t rows_offset_ = 0;
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_LOGITS_FILE_H
