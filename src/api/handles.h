// Handles of the C ABI. A handle is a generation-tagged number dressed as a pointer and looked up in one bounded table;
// it is never dereferenced, so stale, foreign and doubly released handles are recognised.
#pragma once
#include <memory>

#include "base/heap.h"
#include "base/status.h"
#include "engine/engine.h"

namespace fastserve::api {

struct EngineObject {
  HeapUser heap_user;  // first, so that it goes last
  std::shared_ptr<Engine> engine;
  ~EngineObject() { engine->shutdown(0); }
};
struct ModelObject {
  std::shared_ptr<LoadedModel> model;
};

struct SessionObject {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Session> session;
  ~SessionObject() {
    if (session != nullptr) engine->sessions().release(session);
  }
};

enum class HandleKind : uint32_t { kEngine = 1, kModel = 2, kSession = 3 };

// Registers an object with one reference. kQueueFull when the table is full.
Result<void*> register_handle(HandleKind kind, std::shared_ptr<void> object);
Status retain_handle(HandleKind kind, const void* handle);
// Drops a reference; with the last one the object leaves the table and is returned, to be destroyed by the caller.
Result<std::shared_ptr<void>> release_handle(HandleKind kind, const void* handle);
Result<std::shared_ptr<void>> find_handle(HandleKind kind, const void* handle);

inline Result<std::shared_ptr<Engine>> find_engine(const void* handle) {
  FSV_ASSIGN(std::shared_ptr<void> object, find_handle(HandleKind::kEngine, handle));
  return static_cast<EngineObject*>(object.get())->engine;
}
inline Result<std::shared_ptr<LoadedModel>> find_model(const void* handle) {
  FSV_ASSIGN(std::shared_ptr<void> object, find_handle(HandleKind::kModel, handle));
  return static_cast<ModelObject*>(object.get())->model;
}
inline Result<std::shared_ptr<SessionObject>> find_session(const void* handle) {
  FSV_ASSIGN(std::shared_ptr<void> object, find_handle(HandleKind::kSession, handle));
  return std::static_pointer_cast<SessionObject>(std::move(object));
}

}  // namespace fastserve::api
