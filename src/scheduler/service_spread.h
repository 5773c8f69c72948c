// ServiceSpread: how widely spread what requests take is, from those that ended and from those that already took more
// than most. Preferring the short is worth it only where there are very long ones beside them: with exponential or
// less spread service nothing beats the order of arrival by much, and tails become worse.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace fastserve {

class ServiceSpread {
 public:
  void ended(double service_ns) {
    const double share = 1 / static_cast<double>(std::min<uint64_t>(++count_, kWindow));
    mean_ += share * (service_ns - mean_);
    square_ += share * (service_ns * service_ns - square_);
  }

  // Live requests, once for each look: begin(), add() for each, then the figures.
  void begin() { live_count_ = live_sum_ = live_square_ = 0; }
  void add(double service_ns) {
    if (service_ns <= mean_) return;
    ++live_count_;
    live_sum_ += service_ns;
    live_square_ += service_ns * service_ns;
  }
  bool is_known() const { return count_ >= kEndedMin; }
  double mean_ns() const { return (weight() * mean_ + live_sum_) / (weight() + live_count_); }
  // Coefficient of variation.
  double variation() const {
    const double mean = mean_ns(), square = (weight() * square_ + live_square_) / (weight() + live_count_);
    return mean > 0 ? std::sqrt(std::max(square / (mean * mean) - 1, 0.0)) : 0;
  }

 private:
  static constexpr uint64_t kWindow = 512, kEndedMin = 24;
  double weight() const { return static_cast<double>(std::min(count_, kWindow)); }

  uint64_t count_ = 0;
  double mean_ = 0, square_ = 0;
  double live_count_ = 0, live_sum_ = 0, live_square_ = 0;
};

}  // namespace fastserve
