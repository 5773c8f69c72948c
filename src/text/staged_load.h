// StagedLoad: what a tokenizer's loaders share: where they stand, in stages over many items of which each step takes a
// bounded part.
#pragma once
#include <algorithm>
#include <cstddef>

#include "base/status.h"

namespace fastserve {

template <typename StageType>
class StagedLoad {
 protected:
  using Stage = StageType;

  // Takes the next items of a stage's `count`; goes to `next` after the last.
  template <typename Each>
  Status advance(size_t count, Stage next, Each&& each) {
    const size_t end = std::min(count, next_ + kStepItems);
    for (; next_ < end; ++next_) FSV_TRY(each(next_));
    if (next_ == count) go_to(next);
    return {};
  }
  void go_to(Stage stage) {
    stage_ = stage;
    next_ = 0;
  }

  Stage stage_ = Stage::kStart;
  size_t next_ = 0;  // of the stage's items

 private:
  static constexpr size_t kStepItems = 2048;
};

}  // namespace fastserve
