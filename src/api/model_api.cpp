// Models: inspect, load tickets, retain and release.
#include "api/arguments.h"
#include "api/handles.h"
#include "api/shim.h"
#include "base/heap.h"
#include "engine/model_facts.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

Status fill_model_info(const ModelFacts& facts, fsv_model_info* info) {
  fsv_model_info filled{};
  filled.runnable = facts.runnable ? 1 : 0;
  copy_text(filled.architecture, facts.architecture);
  copy_text(filled.name, facts.name);
  copy_text(filled.weight_type, facts.weight_type);
  copy_text(filled.tokenizer, facts.tokenizer);
  copy_text(filled.refusal, facts.refusal);
  filled.file_bytes = facts.file_bytes;
  filled.weight_bytes = facts.weight_bytes;
  filled.parameter_count = facts.parameter_count;
  filled.tensor_count = facts.tensor_count;
  filled.vocabulary_size = facts.vocabulary_size;
  filled.context_tokens = facts.context_tokens;
  filled.layer_count = facts.layer_count;
  filled.embedding_size = facts.embedding_size;
  filled.head_count = facts.head_count;
  filled.kv_head_count = facts.kv_head_count;
  filled.has_chat_template = facts.has_chat_template ? 1 : 0;
  filled.bos_token_id = facts.bos_token_id;
  filled.eos_token_id = facts.eos_token_id;
  filled.adds_bos = facts.adds_bos ? 1 : 0;
  filled.adds_eos = facts.adds_eos ? 1 : 0;
  return fill_info(info, filled, "info");
}

}  // namespace

extern "C" {

void fsv_model_info_init(fsv_model_info* info, uint32_t struct_size) { init_struct(info, struct_size); }
void fsv_load_config_init(fsv_load_config* config, uint32_t struct_size) { init_struct(config, struct_size); }
void fsv_ticket_info_init(fsv_ticket_info* info, uint32_t struct_size) { init_struct(info, struct_size); }

fsv_status fsv_model_inspect(const char* path, size_t path_size, fsv_model_info* info, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::string_view checked, path_argument(path, path_size));
    const HeapTrim trim;
    FSV_ASSIGN(const std::unique_ptr<ModelSource> source, open_model_source(checked));
    return fill_model_info(try_model(*source), info);
  });
}

namespace {

fsv_status fill_json(const char* path, size_t path_size, std::string (*describe)(const ModelSource&), char* buffer,
                     size_t capacity, size_t* size, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::string_view checked, path_argument(path, path_size));
    const HeapTrim trim;
    FSV_ASSIGN(const std::unique_ptr<ModelSource> source, open_model_source(checked));
    const std::string json = describe(*source);
    return fill_array(json.data(), json.size(), buffer, capacity, size);
  });
}

}  // namespace

fsv_status fsv_model_inspect_json(const char* path, size_t path_size, char* buffer, size_t capacity, size_t* size,
                                  fsv_error* error) {
  return fill_json(path, path_size, describe_model_json, buffer, capacity, size, error);
}

fsv_status fsv_model_plan_json(const char* path, size_t path_size, char* buffer, size_t capacity, size_t* size,
                               fsv_error* error) {
  return fill_json(path, path_size, plan_model_json, buffer, capacity, size, error);
}

void fsv_memory_estimate_init(fsv_memory_estimate* estimate, uint32_t struct_size) {
  init_struct(estimate, struct_size);
}

fsv_status fsv_model_estimate(const fsv_load_config* config, const fsv_engine_config* engine_config,
                              fsv_memory_estimate* estimate, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const EngineOptions options, engine_options(engine_config));
    FSV_ASSIGN(LoadRequest request, load_request(config));
    FSV_ASSIGN(const MemoryEstimate found, Engine::estimate(std::move(request), options));
    fsv_memory_estimate filled{};
    filled.weight_bytes = found.weight_bytes;
    filled.kv_bytes = found.kv_bytes;
    filled.activation_bytes = found.activation_bytes;
    filled.other_bytes = found.other_bytes;
    filled.total_bytes = found.weight_bytes + found.kv_bytes + found.activation_bytes + found.other_bytes;
    filled.peak_bytes = found.peak_bytes;
    return fill_info(estimate, filled, "estimate");
  });
}

fsv_status fsv_model_load(fsv_engine* engine, const fsv_load_config* config, fsv_ticket* ticket, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (ticket == nullptr) return invalid("ticket is NULL");
    *ticket = 0;
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(LoadRequest request, load_request(config));
    FSV_ASSIGN(*ticket, target->load(std::move(request)));
    return {};
  });
}

fsv_status fsv_ticket_get_info(fsv_engine* engine, fsv_ticket ticket, fsv_ticket_info* info, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(const TicketInfo now, target->ticket_info(ticket));
    fsv_ticket_info filled{};
    filled.state = static_cast<uint32_t>(now.state);
    filled.status = static_cast<fsv_status>(now.failure.code());
    filled.bytes_done = now.bytes_done;
    filled.bytes_total = now.bytes_total;
    FSV_TRY(fill_info(info, filled, "info"));
    if (!now.failure.ok()) (void)report(now.failure, error);
    return {};
  });
}

fsv_status fsv_ticket_wait(fsv_engine* engine, fsv_ticket ticket, uint64_t timeout_us, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->wait_ticket(ticket, timeout_us);
  });
}

fsv_status fsv_ticket_take_model(fsv_engine* engine, fsv_ticket ticket, fsv_model** model, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (model == nullptr) return invalid("model is NULL");
    *model = nullptr;
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    auto object = std::make_shared<ModelObject>();
    FSV_ASSIGN(object->model, target->take_model(ticket));
    FSV_ASSIGN(void* handle, register_handle(HandleKind::kModel, std::move(object)));
    *model = static_cast<fsv_model*>(handle);
    return {};
  });
}

fsv_status fsv_ticket_set_priority(fsv_engine* engine, fsv_ticket ticket, int32_t priority, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->set_priority(ticket, priority);
  });
}

fsv_status fsv_ticket_cancel(fsv_engine* engine, fsv_ticket ticket, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->cancel_ticket(ticket);
  });
}

fsv_status fsv_model_retain(fsv_model* model, fsv_error* error) {
  return shim(error, [&] { return retain_handle(HandleKind::kModel, model); });
}

fsv_status fsv_model_release(fsv_model* model, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<void> last, release_handle(HandleKind::kModel, model));
    return {};
  });
}

fsv_status fsv_model_get_info(fsv_model* model, fsv_model_info* info, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
    return fill_model_info(target->facts, info);
  });
}

}  // extern "C"
