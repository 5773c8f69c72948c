// Draws the bar: label, bar and percentage, at most one redraw per tenth of a percent.
#include "progress_bar.h"

#include <algorithm>
#include <cstdio>

#include "terminal.h"

namespace fastserve::cli {

ProgressBar::ProgressBar(std::string_view label) : label_(label), visible_(stderr_is_terminal()) {}

ProgressBar::~ProgressBar() {
  if (drawn_permille_ >= 0) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::update(uint64_t done, uint64_t total) {
  if (!visible_) return;
  const double share = total == 0 ? 0.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const int permille = static_cast<int>(share * 1000);
  if (permille == drawn_permille_) return;
  drawn_permille_ = permille;
  const int width = std::clamp(stderr_columns() - static_cast<int>(label_.size()) - 10, 8, 40);
  const int filled = static_cast<int>(share * width);
  std::string line = "\r" + label_ + " [" + std::string(static_cast<size_t>(filled), '#');
  line += std::string(static_cast<size_t>(width - filled), '.') + "] " + std::to_string(permille / 10) + "%\x1b[K";
  std::fputs(line.c_str(), stderr);
}

}  // namespace fastserve::cli
