// A one-line progress bar on standard error; silent where that is no terminal.
#ifndef FASTSERVE_CLI_PROGRESS_BAR_H
#define FASTSERVE_CLI_PROGRESS_BAR_H

#include <cstdint>
#include <string>
#include <string_view>

namespace fastserve::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string_view label);
  ~ProgressBar();  // wipes the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(uint64_t done, uint64_t total);  // total 0: not known yet

 private:
  std::string label_;
  bool visible_;
  int drawn_permille_ = -1;
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_PROGRESS_BAR_H
