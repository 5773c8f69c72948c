// Sessions saved and brought back.
#include "api/host_hooks.h"
#include "api/new_session.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

class HostSink final : public ByteSink {
 public:
  HostSink(fsv_write_function function, void* context) : function_(function), context_(context) {}
  Status begin(uint64_t total_bytes) override {
    total_bytes_ = total_bytes;
    return {};
  }
  Status write(const void* data, size_t size_bytes) override {
    const fsv_status status = function_(context_, data, size_bytes, total_bytes_);
    return status == FSV_OK ? Status() : host_failure(status, "write function");
  }

 private:
  fsv_write_function function_;
  void* context_;
  uint64_t total_bytes_ = 0;
};

Status check_flags(uint32_t flags) {
  return (flags & ~uint32_t{FSV_SESSION_TEXT_ONLY}) == 0 ? Status() : invalid(format("unknown flags ", flags));
}

Result<std::shared_ptr<Session>> import(Engine& engine, fsv_model* model, os::File& file) {
  FSV_ASSIGN(std::shared_ptr<LoadedModel> loaded, find_model(model));
  FSV_TRY(engine.check_runs(*loaded));
  return engine.import_session(std::move(loaded), file);
}

}  // namespace

extern "C" {

fsv_status fsv_session_save(fsv_session* session, const char* name, size_t name_size, uint32_t flags,
                            fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<SessionObject> object, find_session(session));
    FSV_ASSIGN(const std::string_view checked, text_argument(name, name_size, "name"));
    FSV_TRY(check_flags(flags));
    return object->engine->save_session(object->session, (flags & FSV_SESSION_TEXT_ONLY) == 0, checked);
  });
}

fsv_status fsv_session_export(fsv_session* session, uint32_t flags, fsv_write_function write, void* context,
                              fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<SessionObject> object, find_session(session));
    FSV_TRY(check_flags(flags));
    if (write == nullptr) return invalid("write is NULL");
    HostSink sink(write, context);
    return object->engine->export_session(object->session, (flags & FSV_SESSION_TEXT_ONLY) == 0, sink);
  });
}

fsv_status fsv_session_load(fsv_engine* engine, fsv_model* model, const char* path, size_t path_size,
                            fsv_session** session, fsv_error* error) {
  return new_session(session, error, [&](SessionObject& object) -> Status {
    FSV_ASSIGN(object.engine, find_engine(engine));
    FSV_ASSIGN(const std::string_view checked, path_argument(path, path_size));
    FSV_ASSIGN(const std::unique_ptr<os::File> file, object.engine->options().files->open(checked));
    FSV_ASSIGN(object.session, import(*object.engine, model, *file));
    return {};
  });
}

fsv_status fsv_session_import(fsv_engine* engine, fsv_model* model, const void* data, size_t size_bytes,
                              fsv_session** session, fsv_error* error) {
  return new_session(session, error, [&](SessionObject& object) -> Status {
    FSV_ASSIGN(object.engine, find_engine(engine));
    if (data == nullptr) return invalid("data is NULL");
    const std::shared_ptr<ModelFiles> files = memory_files(data, size_bytes, nullptr);
    FSV_ASSIGN(const std::unique_ptr<os::File> file, files->open("buffer"));
    FSV_ASSIGN(object.session, import(*object.engine, model, *file));
    return {};
  });
}

}  // extern "C"
