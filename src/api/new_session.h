// Handles for sessions that the library has made.
#pragma once
#include "api/handles.h"
#include "api/shim.h"

namespace fastserve::api {

// `make` fills the SessionObject that a new handle stands for.
template <typename Make>
fsv_status new_session(fsv_session** session, fsv_error* error, Make&& make) {
  return shim(error, [&]() -> Status {
    if (session == nullptr) return invalid("session is NULL");
    *session = nullptr;
    auto object = std::make_shared<SessionObject>();
    FSV_TRY(make(*object));
    FSV_ASSIGN(void* handle, register_handle(HandleKind::kSession, std::move(object)));
    *session = static_cast<fsv_session*>(handle);
    return {};
  });
}

}  // namespace fastserve::api
