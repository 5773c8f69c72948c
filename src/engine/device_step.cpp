#include "engine/device_step.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace fastserve {
namespace {

constexpr size_t kAlignment = 256;
size_t aligned(size_t size_bytes) { return (size_bytes + kAlignment - 1) / kAlignment * kAlignment; }

int32_t block_count(const kernels::KvView& view) {
  return (view.position_begin + view.row_count + kernels::kKvBlockTokens - 1) / kernels::kKvBlockTokens;
}

int32_t power_of_two(int32_t value) { return static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(value))); }

}  // namespace

StepBucket StepBucket::of(const BatchView& view, int32_t rows_max, int32_t sequences_max, int32_t context_tokens) {
  const int32_t rows = view.row_count;
  if (rows < 1 || rows > kRowsMax || view.sequence_rows_max > kSequenceRowsMax || view.row_begin != 0) return {};
  StepBucket bucket;
  bucket.rows = std::min(power_of_two(rows), rows_max);
  bucket.sequences = std::min(power_of_two(view.sequence_count), sequences_max);
  bucket.sequence_rows = view.sequence_rows_max == 1 ? 1 : kSequenceRowsMax;
  bucket.keys =
      std::max(std::min(power_of_two(std::max(view.key_count_max, kKeysMin)), context_tokens), view.key_count_max);
  return bucket;
}

DeviceStep::Layout DeviceStep::layout_of(const Limits& limits, size_t table_entries) {
  Layout layout;
  const size_t ids = aligned(static_cast<size_t>(limits.rows) * sizeof(int32_t));
  layout.positions = ids;
  layout.row_ids = layout.positions + ids;
  layout.samples = layout.row_ids + aligned(kHeadRowsMax * sizeof(int32_t));
  layout.banned = layout.samples + aligned(kHeadRowsMax * sizeof(kernels::DeviceSampleRow));
  layout.drawn = layout.banned + aligned(kBannedMax * sizeof(int32_t));
  layout.views = layout.drawn + aligned(kHeadRowsMax * sizeof(int32_t));
  const size_t views = aligned(static_cast<size_t>(limits.sequences) * sizeof(kernels::KvView));
  layout.tables = layout.views + static_cast<size_t>(limits.groups) * views;
  layout.total = aligned(layout.tables + table_entries * sizeof(uint8_t*));
  return layout;
}

// Full contexts of all sequences, or what a step is unlikely to pass.
size_t DeviceStep::table_entries_at_first(const Limits& limits) {
  constexpr size_t kUsualMax = size_t{1} << 16;
  const size_t blocks = static_cast<size_t>(limits.context_tokens + kernels::kKvBlockTokens - 1) /
                        static_cast<size_t>(kernels::kKvBlockTokens);
  return std::min(kUsualMax, static_cast<size_t>(limits.groups) * static_cast<size_t>(limits.sequences) * blocks);
}

uint64_t DeviceStep::size_bytes(const Limits& limits) {
  return layout_of(limits, table_entries_at_first(limits)).total;
}

Result<std::unique_ptr<DeviceStep>> DeviceStep::create(DeviceMemory& device, LimitResource& memory,
                                                       const Limits& limits) {
  auto step = std::make_unique<DeviceStep>();
  step->device_ = &device;
  step->memory_ = &memory;
  step->limits_ = limits;
  FSV_TRY(step->make_room(table_entries_at_first(limits)));
  const auto logit_bytes = static_cast<size_t>(limits.logit_rows * limits.logit_stride) * sizeof(float);
  FSV_ASSIGN(step->logits_, PinnedBuffer::allocate(device.device(), logit_bytes));
  FSV_ASSIGN(step->drawn_, PinnedBuffer::allocate(device.device(), kHeadRowsMax * sizeof(int32_t)));
  return step;
}

// Nothing that is queued reads the old buffers. Graphs know the old addresses.
Status DeviceStep::make_room(size_t table_entries) {
  graphs_.clear();
  const Layout layout = layout_of(limits_, table_entries);
  inputs_.reset();
  slots_.reset();
  table_entries_ = 0;
  FSV_ASSIGN(inputs_, Buffer::allocate(*memory_, layout.total, MemoryUse::kActivations));
  FSV_ASSIGN(slots_, PinnedBuffer::allocate(device_->device(), kSlots * layout.total));
  layout_ = layout;
  table_entries_ = table_entries;
  slots_used_ = 0;
  return {};
}

// A slot is free again when what was sent from it has arrived.
uint8_t* DeviceStep::next_slot(DeviceStream& stream) {
  if (stream.is_idle()) slots_used_ = 0;
  if (slots_used_ == kSlots) {
    stream.settle();
    slots_used_ = 0;
  }
  return slots_.data() + static_cast<size_t>(slots_used_++) * layout_.total;
}

BatchView DeviceStep::stage(DeviceStream& stream, const BatchView& view, int32_t group_count,
                            const StepBucket& bucket) {
  size_t entries = 0;
  for (int32_t group = 0; group < group_count; ++group) {
    for (int32_t s = 0; s < view.sequence_count; ++s) entries += static_cast<size_t>(block_count(view.views[group][s]));
  }
  if (entries > table_entries_) {
    stream.settle();
    Status made = make_room(entries + entries / 2);
    if (!made.ok()) throw StatusException{std::move(made)};
  }
  uint8_t* const slot = next_slot(stream);
  const int32_t rows = std::max(view.row_count, bucket.rows),
                sequences = std::max(view.sequence_count, bucket.sequences);
  auto put_ids = [&](size_t offset, const int32_t* ids) {
    auto* to = reinterpret_cast<int32_t*>(slot + offset);
    std::copy_n(ids, view.row_count, to);
    std::fill(to + view.row_count, to + rows, 0);
  };
  put_ids(0, view.token_ids);
  put_ids(layout_.positions, view.positions);
  const size_t view_bytes = aligned(static_cast<size_t>(limits_.sequences) * sizeof(kernels::KvView));
  size_t table_end = layout_.tables;
  for (int32_t group = 0; group < group_count; ++group) {
    const size_t offset = layout_.views + static_cast<size_t>(group) * view_bytes;
    auto* views = reinterpret_cast<kernels::KvView*>(slot + offset);
    for (int32_t s = 0; s < sequences; ++s) {
      views[s] = {nullptr, view.row_count, 0, 0};  // no sequence's
      if (s >= view.sequence_count) continue;
      views[s] = view.views[group][s];
      const auto blocks = static_cast<size_t>(block_count(views[s]));
      std::memcpy(slot + table_end, views[s].blocks, blocks * sizeof(uint8_t*));
      views[s].blocks = reinterpret_cast<uint8_t* const*>(inputs_.data() + table_end);
      table_end += blocks * sizeof(uint8_t*);
    }
    view_pointers_[group] = reinterpret_cast<const kernels::KvView*>(inputs_.data() + offset);
  }
  stream.copy_to_device(inputs_.data(), slot, table_end);
  BatchView staged = view;
  staged.token_ids = reinterpret_cast<const int32_t*>(inputs_.data());
  staged.positions = reinterpret_cast<const int32_t*>(inputs_.data() + layout_.positions);
  staged.row_count = rows;
  staged.sequence_count = sequences;
  staged.views = view_pointers_;
  staged.key_count_max = std::max(view.key_count_max, bucket.keys);
  staged.sequence_rows_max = std::max(view.sequence_rows_max, bucket.sequence_rows);
  return staged;
}

const int32_t* DeviceStep::stage_rows(DeviceStream& stream, const int32_t* rows, int32_t count) {
  uint8_t* const slot = next_slot(stream);
  const size_t size_bytes = static_cast<size_t>(std::min(count, kHeadRowsMax)) * sizeof(int32_t);
  std::memcpy(slot, rows, size_bytes);
  stream.copy_to_device(inputs_.data() + layout_.row_ids, slot, size_bytes);
  return reinterpret_cast<const int32_t*>(inputs_.data() + layout_.row_ids);
}

void DeviceStep::fetch_logits(DeviceStream& stream, const Rows& logits, size_t begin, size_t end) {
  const size_t row_bytes = static_cast<size_t>(limits_.logit_stride) * sizeof(float);
  stream.copy_to_host(logits_.data() + begin * row_bytes, logits.row(static_cast<int64_t>(begin)),
                      (end - begin) * row_bytes);
}

void DeviceStep::stage_samples(DeviceStream& stream, std::span<const kernels::DeviceSampleRow> rows,
                               std::span<const int32_t> banned) {
  uint8_t* const slot = next_slot(stream);
  const size_t banned_at = layout_.banned - layout_.samples;
  std::memcpy(slot, rows.data(), rows.size_bytes());
  if (!banned.empty()) std::memcpy(slot + banned_at, banned.data(), banned.size_bytes());
  stream.copy_to_device(inputs_.data() + layout_.samples, slot, banned_at + banned.size_bytes());
}

void DeviceStep::draw(DeviceStream& stream, const Rows& logits, size_t begin, size_t end) {
  kernels::DeviceSampleArgs args = {};
  args.logits = logits.row(static_cast<int64_t>(begin));
  args.stride = logits.stride;
  args.rows = static_cast<int32_t>(end - begin);
  args.vocabulary = static_cast<int32_t>(logits.cols);
  args.parameters = reinterpret_cast<const kernels::DeviceSampleRow*>(inputs_.data() + layout_.samples) + begin;
  args.banned = reinterpret_cast<const int32_t*>(inputs_.data() + layout_.banned);
  args.token_ids = reinterpret_cast<int32_t*>(inputs_.data() + layout_.drawn) + begin;
  stream.launch(stream.kernels().sample, "sample", args);
}

void DeviceStep::fetch_drawn(DeviceStream& stream, size_t count) {
  stream.copy_to_host(drawn_.data(), inputs_.data() + layout_.drawn, count * sizeof(int32_t));
}

}  // namespace fastserve
