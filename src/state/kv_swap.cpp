// Places in the file are runs of slots; a slot holds one block of every layer group.
#include "state/kv_swap.h"

#include <algorithm>
#include <chrono>

#include "base/checksum.h"
#include "base/format.h"

namespace fastserve {
namespace {

constexpr uint32_t kWriteFailuresMax = 3;  // in a row; then nothing more is written

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void measure(double& bytes_per_ns, size_t size_bytes, int64_t took_ns) {
  const double now = static_cast<double>(size_bytes) / static_cast<double>(std::max<int64_t>(took_ns, 1));
  bytes_per_ns += 0.1 * (now - bytes_per_ns);
}

}  // namespace

Result<std::unique_ptr<KvSwap>> KvSwap::create(std::unique_ptr<os::ScratchFile> file, uint64_t capacity_bytes,
                                               uint64_t piece_bytes, size_t entries_max, LimitResource& memory) {
  constexpr size_t kSumsMax = 4096;
  std::unique_ptr<KvSwap> swap(new KvSwap());
  swap->file_ = std::move(file);
  swap->usage_.capacity_bytes = capacity_bytes;
  swap->queue_.reserve(entries_max);
  swap->free_.reserve(2 * entries_max + 16);
  swap->free_.push_back({0, capacity_bytes});
  swap->sums_.reserve(kSumsMax);
  FSV_ASSIGN(swap->staging_, Buffer::allocate(memory, piece_bytes, MemoryUse::kOther));
  return swap;
}

bool KvSwap::take_place(SwappedKv& entry, int32_t block_capacity) {
  const auto size = static_cast<uint64_t>(block_capacity) * static_cast<uint64_t>(entry.cache->slot_bytes());
  const auto found =
      std::find_if(free_.begin(), free_.end(), [&](const Extent& extent) { return extent.end - extent.begin >= size; });
  if (found == free_.end()) return false;
  entry.checksums.reserve(static_cast<size_t>(block_capacity));
  entry.offset_bytes = found->begin;
  entry.block_capacity = block_capacity;
  found->begin += size;
  if (found->begin == found->end) free_.erase(found);
  usage_.used_bytes += size;
  return true;
}

void KvSwap::give_place(const Extent& extent) noexcept {
  if (extent.begin == extent.end) return;
  usage_.used_bytes -= extent.end - extent.begin;
  auto next = std::lower_bound(free_.begin(), free_.end(), extent.begin,
                               [](const Extent& a, uint64_t begin) { return a.begin < begin; });
  const bool joins_next = next != free_.end() && next->begin == extent.end;
  if (next != free_.begin() && (next - 1)->end == extent.begin) {
    (next - 1)->end = joins_next ? next->end : extent.end;
    if (joins_next) free_.erase(next);
  } else if (joins_next) {
    next->begin = extent.begin;
  } else if (free_.size() < free_.capacity()) {
    free_.insert(next, extent);
  }  // else it is lost: cannot happen, there are no more places than entries
}

int32_t KvSwap::usable_tokens(const SwappedKv& entry) noexcept {
  return entry.block_count > 0 ? entry.cache->restorable_tokens(entry.first, entry.block_count) : 0;
}

bool KvSwap::save(SwappedKv& entry, int32_t token_count, int32_t tokens_max) {
  constexpr int32_t kBlockTokens = kernels::kKvBlockTokens;
  const int32_t wanted = token_count / kBlockTokens;
  if (entry.work != SwappedKv::Work::kNone || wanted <= entry.block_count) return true;
  if (write_failures_ >= kWriteFailuresMax || queue_.size() == queue_.capacity()) return false;
  if (entry.cache->slot_bytes() > static_cast<int64_t>(staging_.size_bytes())) return false;
  const int32_t capacity = (tokens_max + kBlockTokens - 1) / kBlockTokens;
  if (entry.block_capacity == 0 && !take_place(entry, std::max(capacity, wanted))) return false;
  if (wanted > entry.block_capacity) return false;
  entry.work = SwappedKv::Work::kSave;
  entry.work_end = wanted;
  queue_.push_back(&entry);
  return true;
}

bool KvSwap::load(SwappedKv& entry, int32_t token_count) noexcept {
  if (entry.work != SwappedKv::Work::kNone || queue_.size() == queue_.capacity()) return false;
  entry.work = SwappedKv::Work::kLoad;
  entry.work_next = entry.cache->first_slot(token_count);
  entry.work_end = token_count / kernels::kKvBlockTokens;
  queue_.push_back(&entry);
  return true;
}

void KvSwap::end_work(SwappedKv& entry) noexcept {
  entry.work = SwappedKv::Work::kNone;
  std::erase(queue_, &entry);
}

void KvSwap::stop(SwappedKv& entry) noexcept {
  if (entry.work == SwappedKv::Work::kNone) return;
  if (current_ == &entry) current_ = nullptr;
  end_work(entry);
}

void KvSwap::forget(SwappedKv& entry) noexcept {
  const bool is_current = is_working_ && current_ == &entry;
  stop(entry);
  if (entry.block_capacity > 0) {
    const auto size = static_cast<uint64_t>(entry.block_capacity) * static_cast<uint64_t>(entry.cache->slot_bytes());
    const Extent extent{entry.offset_bytes, entry.offset_bytes + size};
    if (is_current) {
      orphan_ = extent;  // nobody else may have it before the worker has left it
    } else {
      give_place(extent);
    }
  }
  entry.block_capacity = entry.block_count = 0;
  entry.first = {};
  entry.checksums.clear();
}

KvSwap::Ended KvSwap::work_once(std::unique_lock<std::mutex>& lock) {
  if (queue_.empty()) return {};
  current_ = queue_.front();
  const bool is_load = current_->work == SwappedKv::Work::kLoad;
  Status status = is_load ? load_piece(lock) : save_piece(lock);
  give_place(std::exchange(orphan_, Extent{}));
  SwappedKv* entry = std::exchange(current_, nullptr);
  if (entry == nullptr) return {};
  const bool is_done = is_load ? entry->work_next >= entry->work_end : entry->block_count >= entry->work_end;
  if (status.ok() && !is_done) return {};
  end_work(*entry);
  if (!status.ok()) forget(*entry);
  return {entry, is_load, std::move(status)};
}

Status KvSwap::save_now(SwappedKv& entry, int32_t token_count, int32_t tokens_max, std::unique_lock<std::mutex>& lock) {
  stop(entry);
  if (is_working_ || !save(entry, token_count, tokens_max)) return {};
  if (entry.work == SwappedKv::Work::kNone) return {};  // all is there
  std::rotate(queue_.begin(), queue_.end() - 1, queue_.end());
  while (entry.work != SwappedKv::Work::kNone) {
    Ended ended = work_once(lock);
    FSV_TRY(ended.status);
  }
  return {};
}

int32_t KvSwap::piece_blocks(const SwappedKv& entry) const noexcept {
  const int64_t fitting = static_cast<int64_t>(staging_.size_bytes()) / entry.cache->slot_bytes();
  return static_cast<int32_t>(std::min<int64_t>(fitting, static_cast<int64_t>(sums_.capacity())));
}

Status KvSwap::fail(Status status) noexcept {
  ++usage_.failure_count;
  return status;
}

Status KvSwap::write(uint64_t offset_bytes, size_t size_bytes, std::unique_lock<std::mutex>& lock) {
  const int64_t began_ns = now_ns();
  is_working_ = true;
  lock.unlock();
  Status status = file_->write_at(offset_bytes, staging_.data(), size_bytes);
  const int64_t took_ns = now_ns() - began_ns;
  lock.lock();
  is_working_ = false;
  write_failures_ = status.ok() ? 0 : write_failures_ + 1;
  if (!status.ok()) return fail(std::move(status));
  measure(usage_.write_bytes_per_ns, size_bytes, took_ns);
  usage_.written_bytes += size_bytes;
  return {};
}

Status KvSwap::read(uint64_t offset_bytes, size_t size_bytes, std::unique_lock<std::mutex>& lock) {
  const int64_t began_ns = now_ns();
  is_working_ = true;
  lock.unlock();
  Status status = file_->read_at(offset_bytes, staging_.data(), size_bytes);
  const int64_t took_ns = now_ns() - began_ns;
  lock.lock();
  is_working_ = false;
  if (!status.ok()) return fail(std::move(status));
  measure(usage_.read_bytes_per_ns, size_bytes, took_ns);
  usage_.read_bytes += size_bytes;
  return {};
}

Status KvSwap::save_piece(std::unique_lock<std::mutex>& lock) {
  SwappedKv& entry = *current_;
  const auto slot_bytes = static_cast<size_t>(entry.cache->slot_bytes());
  const int32_t begin = entry.block_count, count = std::min(entry.work_end - begin, piece_blocks(entry));
  sums_.clear();
  for (int32_t i = 0; i < count; ++i) {
    uint8_t* slot = staging_.data() + static_cast<size_t>(i) * slot_bytes;
    if (!entry.cache->copy_out(*entry.kv, begin + i, slot, entry.first)) {
      return fail(Status::from_literal(StatusCode::kInternal, "a text that is being saved has lost its keys"));
    }
    sums_.push_back(checksum_of(slot, slot_bytes));
  }
  const uint64_t offset = entry.offset_bytes + static_cast<uint64_t>(begin) * slot_bytes;
  FSV_TRY(write(offset, static_cast<size_t>(count) * slot_bytes, lock));
  if (current_ == nullptr) return {};
  entry.checksums.resize(static_cast<size_t>(begin));
  entry.checksums.insert(entry.checksums.end(), sums_.begin(), sums_.end());  // reserved with its place
  entry.block_count = begin + count;
  return {};
}

Status KvSwap::load_piece(std::unique_lock<std::mutex>& lock) {
  SwappedKv& entry = *current_;
  const auto slot_bytes = static_cast<size_t>(entry.cache->slot_bytes());
  const int32_t begin = entry.work_next, count = std::min(entry.work_end - begin, piece_blocks(entry));
  const uint64_t offset = entry.offset_bytes + static_cast<uint64_t>(begin) * slot_bytes;
  FSV_TRY(read(offset, static_cast<size_t>(count) * slot_bytes, lock));
  if (current_ == nullptr) return {};
  for (int32_t i = 0; i < count; ++i) {
    const uint8_t* slot = staging_.data() + static_cast<size_t>(i) * slot_bytes;
    if (checksum_of(slot, slot_bytes) != entry.checksums[static_cast<size_t>(begin + i)]) {
      return fail(Status(StatusCode::kCorrupt, format("block ", begin + i, " in the swap file is damaged")));
    }
    if (!entry.cache->copy_in(*entry.kv, begin + i, slot)) {
      return fail(Status::from_literal(StatusCode::kDevice, "keys and values could not be written to the device"));
    }
  }
  entry.work_next = begin + count;
  return {};
}

}  // namespace fastserve
