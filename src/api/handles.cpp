// The handle table: static storage without destructors, so that it is usable at any point of the process's life.
#include "api/handles.h"

#include <mutex>

#include "base/format.h"

namespace fastserve::api {
namespace {

// A handle is [generation][kind 2 bits][index 12 bits][1]: odd, so it can never be a real object's address.
constexpr uint32_t kIndexBits = 12;
constexpr uint32_t kKindBits = 2;
constexpr uint32_t kCapacity = 1U << kIndexBits;

struct Slot {
  std::shared_ptr<void>* object;  // null when free
  uintptr_t generation;
  uint32_t kind;
  uint32_t reference_count;
};

constinit Slot slots[kCapacity] = {};
constinit std::mutex table_mutex;
constinit uint32_t search_start = 0;

constexpr uintptr_t kGenerationMask = UINTPTR_MAX >> (kIndexBits + kKindBits + 1);

const char* kind_name(HandleKind kind) {
  return kind == HandleKind::kEngine ? "engine" : kind == HandleKind::kModel ? "model" : "session";
}

void* encode(uint32_t index, const Slot& slot) {
  const uintptr_t value = ((((slot.generation << kKindBits) | slot.kind) << kIndexBits | index) << 1) | 1;
  return reinterpret_cast<void*>(value);  // NOLINT(performance-no-int-to-ptr): never dereferenced
}

// The slot that a live handle names. table_mutex held.
Result<Slot*> locate(HandleKind kind, const void* handle) {
  if (handle == nullptr) {
    return Status(StatusCode::kInvalidArgument, format("the ", kind_name(kind), " handle is NULL"));
  }
  const auto value = reinterpret_cast<uintptr_t>(handle);
  const auto index = static_cast<uint32_t>((value >> 1) & (kCapacity - 1));
  const auto found_kind = static_cast<uint32_t>((value >> (1 + kIndexBits)) & ((1U << kKindBits) - 1));
  const uintptr_t generation = value >> (1 + kIndexBits + kKindBits);
  Slot& slot = slots[index];
  const bool was_given_out =
      (value & 1) != 0 && found_kind == static_cast<uint32_t>(kind) && generation != 0 && generation <= slot.generation;
  if (!was_given_out) {
    return Status(StatusCode::kInvalidArgument, format("not a handle of a fastserve ", kind_name(kind)));
  }
  if (slot.object == nullptr || generation != slot.generation || slot.kind != found_kind) {
    return Status(StatusCode::kStale, format("the ", kind_name(kind), " was released"));
  }
  return &slot;
}

}  // namespace

Result<void*> register_handle(HandleKind kind, std::shared_ptr<void> object) {
  auto boxed = std::make_unique<std::shared_ptr<void>>(std::move(object));
  const std::lock_guard lock(table_mutex);
  for (uint32_t tried = 0; tried < kCapacity; ++tried) {
    const uint32_t index = (search_start + tried) % kCapacity;
    Slot& slot = slots[index];
    if (slot.object != nullptr) continue;
    search_start = index + 1;
    slot.generation = slot.generation == kGenerationMask ? 1 : slot.generation + 1;
    slot.kind = static_cast<uint32_t>(kind);
    slot.reference_count = 1;
    slot.object = boxed.release();
    return encode(index, slot);
  }
  return Status(StatusCode::kQueueFull, format("the process has its ", kCapacity, " handles"));
}

Status retain_handle(HandleKind kind, const void* handle) {
  const std::lock_guard lock(table_mutex);
  FSV_ASSIGN(Slot * slot, locate(kind, handle));
  ++slot->reference_count;
  return {};
}

Result<std::shared_ptr<void>> release_handle(HandleKind kind, const void* handle) {
  std::unique_ptr<std::shared_ptr<void>> boxed;
  {
    const std::lock_guard lock(table_mutex);
    FSV_ASSIGN(Slot * slot, locate(kind, handle));
    if (--slot->reference_count > 0) return std::shared_ptr<void>();
    boxed.reset(slot->object);
    slot->object = nullptr;
  }
  return std::move(*boxed);
}

Result<std::shared_ptr<void>> find_handle(HandleKind kind, const void* handle) {
  const std::lock_guard lock(table_mutex);
  FSV_ASSIGN(Slot * slot, locate(kind, handle));
  return *slot->object;
}

}  // namespace fastserve::api
