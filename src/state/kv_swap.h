// KvSwap: keys and values of texts in a scratch file, so that memory can be taken from them without computing them
// again. Whole blocks are written ahead, while their sequence still holds them: whoever must give way then gives at
// once. What comes back is checked; what is damaged or cannot be read is computed again.
//
// One owner, whose mutex guards everything here and the sequences; one worker, which does a piece at a time and holds
// that mutex only while it copies to or from blocks, never while it reads or writes the file.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/scratch_file.h"
#include "memory/budget.h"
#include "state/kv_cache.h"

namespace fastserve {

// What a sequence has in the file. It must be forgotten before it goes.
struct SwappedKv {
  enum class Work : uint32_t { kNone, kSave, kLoad };
  void* owner = nullptr;  // whoever it belongs to, for its owner
  KvCache* cache = nullptr;
  SequenceKv* kv = nullptr;
  uint64_t offset_bytes = 0;
  int32_t block_capacity = 0;                        // that its place holds; 0: it has none
  int32_t block_count = 0;                           // leading blocks that are written
  std::array<int32_t, KvSlice::kGroupsMax> first{};  // of each group, the first block that is there
  std::vector<uint64_t> checksums;                   // [block_count]
  Work work = Work::kNone;
  int32_t work_next = 0, work_end = 0;  // blocks
};

class KvSwap {
 public:
  // `entries_max`: how many may have work at once. All bookkeeping is allocated here.
  static Result<std::unique_ptr<KvSwap>> create(std::unique_ptr<os::ScratchFile> file, uint64_t capacity_bytes,
                                                uint64_t piece_bytes, size_t entries_max, LimitResource& memory);

  // Wants the whole blocks of the first `token_count` tokens of a sequence in the file, which may grow to `tokens_max`.
  // False: the file has no room. May throw bad_alloc.
  bool save(SwappedKv& entry, int32_t token_count, int32_t tokens_max);
  // Tokens that load() can bring back; 0: none.
  static int32_t usable_tokens(const SwappedKv& entry) noexcept;
  // Brings them back into the sequence, which has slots for so many.
  bool load(SwappedKv& entry, int32_t token_count) noexcept;
  // Ends its work where it is: nobody touches the sequence any more.
  void stop(SwappedKv& entry) noexcept;
  // Gives its place in the file back too.
  void forget(SwappedKv& entry) noexcept;

  bool has_work() const { return !queue_.empty(); }
  struct Ended {
    SwappedKv* entry = nullptr;  // whose work has ended; null: nobody's has
    bool was_load = false;
    Status status;
  };
  // Does a piece of the first work there is. The lock is of the owner's mutex, held on entry and return.
  Ended work_once(std::unique_lock<std::mutex>& lock);
  // Saves to the end on the calling thread, the mutex held all the time: what systems do that do not write ahead.
  Status save_now(SwappedKv& entry, int32_t token_count, int32_t tokens_max, std::unique_lock<std::mutex>& lock);

  struct Usage {
    uint64_t capacity_bytes = 0, used_bytes = 0;             // of places in the file
    uint64_t written_bytes = 0, read_bytes = 0;              // since the beginning
    uint64_t failure_count = 0;                              // of writes and reads, damage included
    double write_bytes_per_ns = 0.5, read_bytes_per_ns = 1;  // as measured lately
  };
  const Usage& usage() const { return usage_; }

 private:
  struct Extent {
    uint64_t begin, end;
  };
  KvSwap() = default;
  bool take_place(SwappedKv& entry, int32_t block_capacity);
  void give_place(const Extent& extent) noexcept;
  void end_work(SwappedKv& entry) noexcept;
  int32_t piece_blocks(const SwappedKv& entry) const noexcept;
  Status save_piece(std::unique_lock<std::mutex>& lock);
  Status load_piece(std::unique_lock<std::mutex>& lock);
  Status write(uint64_t offset_bytes, size_t size_bytes, std::unique_lock<std::mutex>& lock);
  Status read(uint64_t offset_bytes, size_t size_bytes, std::unique_lock<std::mutex>& lock);
  Status fail(Status status) noexcept;

  std::unique_ptr<os::ScratchFile> file_;
  std::vector<SwappedKv*> queue_;  // in order; the first one's piece may be under way
  bool is_working_ = false;        // outside the mutex, on the first of the queue
  SwappedKv* current_ = nullptr;   // its entry; null: it was stopped meanwhile
  Extent orphan_{};                // its place, where it was forgotten meanwhile
  std::vector<Extent> free_;       // by begin
  Buffer staging_;
  std::vector<uint64_t> sums_;   // of the blocks in it
  uint32_t write_failures_ = 0;  // in a row
  Usage usage_;
};

}  // namespace fastserve
