// RetiredModels: where the models of a pumped engine go when nobody uses them any more, so that their memory goes a
// piece at a time inside step(), not at once wherever the last reference was.
#pragma once
#include <memory>
#include <mutex>

#include "engine/loaded_model.h"

namespace fastserve {

class RetiredModels {
 public:
  // A model that comes to `home` when its last reference goes; at once where there is none (null), where that is
  // closed, and where the model is no more than a piece.
  static std::shared_ptr<LoadedModel> create_model(const std::shared_ptr<RetiredModels>& home);

  // Gives back a piece of what is here. False when there is nothing. One thread at a time.
  bool drop_once() noexcept;
  bool empty() const noexcept;
  // What is here goes now, and what comes later at once. Not during drop_once().
  void close() noexcept;

 private:
  static constexpr uint64_t kPieceBytes = uint64_t{8} << 20;
  static Buffer* next_buffer(LoadedModel& model) noexcept;
  void take(std::unique_ptr<LoadedModel> model) noexcept;

  mutable std::mutex mutex_;
  std::unique_ptr<LoadedModel> first_;  // linked by next_retired
  bool is_closed_ = false;
  std::unique_ptr<LoadedModel> dropped_;  // is going
  uint64_t discarded_bytes_ = 0;          // of its next buffer
  bool wants_trim_ = false;               // its objects on the heap have gone, and not yet their pages
};

}  // namespace fastserve
