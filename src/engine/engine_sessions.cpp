// Sessions out of the engine and in again. Keys and values are copied without the engine's mutex: requests go on, but
// blocks that are being copied cannot be theirs until that has ended.
#include "engine/engine.h"
#include "engine/file_policy.h"
#include "engine/session_file.h"

namespace fastserve {

void Engine::admit_again() noexcept {
  const std::lock_guard lock(mutex_);
  ask_for_memory();  // a budget that was lowered meanwhile too
}

Status Engine::export_session(std::shared_ptr<Session> session, bool with_kv, ByteSink& sink) {
  Status status = sessions_.read(std::move(session), with_kv, [&](const Session& read, const SequenceKv& kv) {
    return write_session(read, kv, sink);
  });
  admit_again();
  return status;
}

Status Engine::save_session(std::shared_ptr<Session> session, bool with_kv, std::string_view name) {
  FSV_ASSIGN(const std::unique_ptr<os::OutputFile> file, create_file(options_.write_folder, name));
  FSV_TRY(export_session(std::move(session), with_kv, *file));
  return file->commit();
}

Result<std::shared_ptr<Session>> Engine::import_session(std::shared_ptr<LoadedModel> model, os::File& file) {
  auto session = std::make_shared<Session>();
  session->model = model;
  SessionReader reader(file);
  FSV_TRY(reader.read_text(*model, *session));
  const Status status = guarded([&]() -> Status {
    ClaimedKv claimed(sessions_, model);
    const bool has_room = reader.kv_token_count() > 0 && sessions_.claim(claimed, reader.kv_token_count());
    FSV_TRY(reader.read_kv(model->kv, has_room ? &claimed.kv : nullptr));
    sessions_.adopt(session, claimed);
    return {};
  });
  admit_again();
  FSV_TRY(status);
  return session;
}

}  // namespace fastserve
