// Sessions: create, fork, cut, read.
#include "api/new_session.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

// `body` gets the engine's sessions and the one named.
template <typename Body>
fsv_status with_session(fsv_session* session, fsv_error* error, Body&& body) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<SessionObject> object, find_session(session));
    return body(object->engine->sessions(), *object->session);
  });
}

}  // namespace

extern "C" {

void fsv_session_info_init(fsv_session_info* info, uint32_t struct_size) { init_struct(info, struct_size); }

fsv_status fsv_session_create(fsv_engine* engine, fsv_model* model, fsv_session** session, fsv_error* error) {
  return new_session(session, error, [&](SessionObject& object) -> Status {
    FSV_ASSIGN(object.engine, find_engine(engine));
    FSV_ASSIGN(std::shared_ptr<LoadedModel> loaded, find_model(model));
    FSV_TRY(object.engine->check_runs(*loaded));
    FSV_ASSIGN(object.session, object.engine->sessions().create(std::move(loaded)));
    return {};
  });
}

fsv_status fsv_session_fork(fsv_session* source, size_t token_count, fsv_session** session, fsv_error* error) {
  return new_session(session, error, [&](SessionObject& object) -> Status {
    FSV_ASSIGN(const std::shared_ptr<SessionObject> forked, find_session(source));
    object.engine = forked->engine;
    FSV_ASSIGN(object.session, object.engine->sessions().fork(*forked->session, token_count));
    return {};
  });
}

fsv_status fsv_session_retain(fsv_session* session, fsv_error* error) {
  return shim(error, [&] { return retain_handle(HandleKind::kSession, session); });
}

fsv_status fsv_session_release(fsv_session* session, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<void> last, release_handle(HandleKind::kSession, session));
    return {};
  });
}

fsv_status fsv_session_truncate(fsv_session* session, size_t token_count, fsv_error* error) {
  return with_session(session, error,
                      [&](SessionTable& table, Session& target) { return table.truncate(target, token_count); });
}

fsv_status fsv_session_undo(fsv_session* session, fsv_error* error) {
  return with_session(session, error, [](SessionTable& table, Session& target) { return table.undo(target); });
}

fsv_status fsv_session_get_info(fsv_session* session, fsv_session_info* info, fsv_error* error) {
  return with_session(session, error, [&](SessionTable& table, const Session& target) {
    const SessionInfo now = table.info(target);
    fsv_session_info filled{};
    filled.busy = now.is_busy ? 1 : 0;
    filled.token_count = now.token_count;
    filled.cached_token_count = now.cached_count;
    filled.kv_bytes = static_cast<uint64_t>(now.kv_bytes);
    filled.turn_count = now.turn_count;
    return fill_info(info, filled, "info");
  });
}

fsv_status fsv_session_get_tokens(fsv_session* session, int32_t* ids, size_t capacity, size_t* count,
                                  fsv_error* error) {
  return with_session(session, error, [&](SessionTable& table, const Session& target) {
    const std::vector<int32_t> tokens = table.tokens(target);
    return fill_array(tokens.data(), tokens.size(), ids, capacity, count);
  });
}

}  // extern "C"
