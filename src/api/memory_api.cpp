// Memory: the live budget, trims, what is used by whom.
#include "api/handles.h"
#include "api/shim.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

static_assert(Engine::kTrimPrefixes == FSV_TRIM_PREFIXES && Engine::kTrimSessions == FSV_TRIM_SESSIONS &&
              Engine::kTrimModels == FSV_TRIM_MODELS);
constexpr uint32_t kTrimFlags = FSV_TRIM_PREFIXES | FSV_TRIM_SESSIONS | FSV_TRIM_MODELS;
static_assert(Engine::kNotePrefixes == FSV_PRESSURE_PREFIXES && Engine::kNoteSessions == FSV_PRESSURE_SESSIONS &&
              Engine::kNoteEvicted == FSV_PRESSURE_MODELS && Engine::kNoteRequests == FSV_PRESSURE_REQUESTS &&
              Engine::kNoteReloaded == FSV_PRESSURE_RELOADED && Engine::kNoteShort == FSV_PRESSURE_SHORT);
static_assert(static_cast<uint32_t>(LoadedModel::Residence::kComing) == FSV_MODEL_LOADING);

template <typename Stats>
void fill_kv(const KvCache::Usage& kv, Stats& stats) {
  stats.kv_block_bytes_used = static_cast<uint64_t>(kv.used_bytes);
  stats.kv_block_count = static_cast<uint64_t>(kv.block_count);
  stats.kv_block_free_count = static_cast<uint64_t>(kv.free_count);
}

}  // namespace

extern "C" {

fsv_status fsv_memory_set_budget(fsv_engine* engine, uint64_t budget_bytes, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->set_memory_budget(budget_bytes);
  });
}

fsv_status fsv_memory_trim(fsv_engine* engine, uint32_t flags, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    if ((flags & ~kTrimFlags) != 0) return invalid(format("flags are ", flags, ": FSV_TRIM_* are known"));
    return target->trim_memory(flags);
  });
}

void fsv_memory_stats_init(fsv_memory_stats* stats, uint32_t struct_size) { init_struct(stats, struct_size); }

fsv_status fsv_memory_get_stats(fsv_engine* engine, fsv_memory_stats* stats, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    const EngineMemory memory = target->memory();
    auto used_by = [&](MemoryUse use) { return memory.stats.used_bytes_by_use[static_cast<size_t>(use)]; };
    auto peak_by = [&](MemoryUse use) { return memory.stats.peak_bytes_by_use[static_cast<size_t>(use)]; };
    fsv_memory_stats filled{};
    filled.model_count = memory.model_count;
    filled.budget_bytes = memory.stats.budget_bytes;
    filled.used_bytes = memory.stats.used_bytes;
    filled.weight_bytes = used_by(MemoryUse::kWeights);
    filled.kv_bytes = used_by(MemoryUse::kKv);
    filled.activation_bytes = used_by(MemoryUse::kActivations);
    filled.other_bytes = used_by(MemoryUse::kOther);
    filled.peak_bytes = memory.stats.peak_bytes;
    fill_kv(memory.kv, filled);
    filled.session_kv_bytes = static_cast<uint64_t>(memory.sessions.kv_bytes);
    filled.session_count = memory.sessions.session_count;
    filled.prefix_block_count = static_cast<uint64_t>(memory.prefixes.node_count);
    filled.prefix_bytes = static_cast<uint64_t>(memory.prefixes.held_bytes);
    filled.peak_weight_bytes = peak_by(MemoryUse::kWeights);
    filled.peak_kv_bytes = peak_by(MemoryUse::kKv);
    filled.peak_activation_bytes = peak_by(MemoryUse::kActivations);
    filled.peak_other_bytes = peak_by(MemoryUse::kOther);
    filled.floor_bytes = memory.floor_bytes;
    return fill_info(stats, filled, "stats");
  });
}

void fsv_model_memory_init(fsv_model_memory* memory, uint32_t struct_size) { init_struct(memory, struct_size); }

fsv_status fsv_memory_get_model(fsv_engine* engine, fsv_model* model, fsv_model_memory* memory, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> of, find_model(model));
    FSV_ASSIGN(const ModelMemory found, target->model_memory(*of));
    fsv_model_memory filled{};
    filled.request_count = found.request_count;
    filled.state = static_cast<uint32_t>(found.residence);
    filled.weight_bytes = found.weight_bytes;
    filled.kv_bytes = static_cast<uint64_t>(found.kv.total_bytes);
    filled.activation_bytes = found.activation_bytes;
    filled.other_bytes = found.other_bytes;
    filled.total_bytes = filled.weight_bytes + filled.kv_bytes + filled.activation_bytes + filled.other_bytes;
    fill_kv(found.kv, filled);
    filled.prefix_bytes = static_cast<uint64_t>(found.prefixes.held_bytes);
    return fill_info(memory, filled, "memory");
  });
}

fsv_status fsv_model_evict(fsv_engine* engine, fsv_model* model, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> of, find_model(model));
    return target->evict(*of);
  });
}

}  // extern "C"
