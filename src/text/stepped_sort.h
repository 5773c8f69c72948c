// Merge sort in steps of bounded length, for tables of hundreds of thousands of entries.
#pragma once
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace fastserve {

template <typename T, typename Less>
class SteppedSort {
 public:
  SteppedSort(std::vector<T> items, Less less) : items_(std::move(items)), less_(std::move(less)) {}

  // Moves some thousands of items. True when all are in order.
  bool step() {
    if (run_ == 0) {
      sort_runs();
    } else if (run_ < items_.size()) {
      merge_runs();
    }
    return run_ != 0 && run_ >= items_.size();
  }
  std::vector<T> take() { return std::move(items_); }

 private:
  static constexpr size_t kRun = 512;
  static constexpr size_t kStepItems = 4096;

  void sort_runs() {
    const size_t step_end = std::min(next_ + kStepItems, items_.size());
    while (next_ < step_end) {
      const size_t end = std::min(next_ + kRun, items_.size());
      std::sort(at(next_), at(end), less_);
      next_ = end;
    }
    if (next_ < items_.size()) return;
    run_ = kRun;
    merged_.resize(run_ < items_.size() ? items_.size() : 0);
    begin_pass();
  }
  // Runs of run_ items in items_ become runs of twice that in merged_.
  void merge_runs() {
    const size_t step_end = std::min(next_ + kStepItems, items_.size());
    while (next_ < step_end) {
      const size_t stop = std::min(step_end, end_);
      while (next_ < stop) merged_[next_++] = takes_right() ? items_[right_++] : items_[left_++];
      if (next_ == end_) begin_pair();
    }
    if (next_ < items_.size()) return;
    items_.swap(merged_);
    run_ *= 2;
    begin_pass();
  }
  void begin_pass() {
    next_ = 0;
    begin_pair();
  }
  void begin_pair() {
    left_ = next_;
    right_ = middle_ = std::min(next_ + run_, items_.size());
    end_ = std::min(middle_ + run_, items_.size());
  }
  bool takes_right() const { return left_ == middle_ || (right_ < end_ && less_(items_[right_], items_[left_])); }
  auto at(size_t i) { return items_.begin() + static_cast<std::ptrdiff_t>(i); }

  std::vector<T> items_, merged_;
  Less less_;
  size_t run_ = 0;                                      // items in a sorted run; 0: none is sorted yet
  size_t next_ = 0;                                     // to be sorted, or of merged_ to be written
  size_t left_ = 0, middle_ = 0, right_ = 0, end_ = 0;  // of the pair of runs that is being merged
};

}  // namespace fastserve
