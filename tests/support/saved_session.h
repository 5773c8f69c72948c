// Saved sessions for tests and fuzzers: an engine with a small model, bytes that a session was saved to, and what must
// be true of any bytes.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/little_endian.h"
#include "engine/engine.h"
#include "engine/session_file.h"
#include "support/tiny_model.h"

namespace fastserve::test {

class VectorSink final : public ByteSink {
 public:
  Status begin(uint64_t total_bytes) override {
    bytes.reserve(total_bytes);
    return {};
  }
  Status write(const void* data, size_t size_bytes) override {
    const auto* next = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), next, next + size_bytes);
    return {};
  }
  std::vector<uint8_t> bytes;
};

// Offsets of fields in a saved session's fixed part (session_layout.h).
constexpr size_t kSavedKvBytesField = 24, kSavedFingerprintField = 32;

// Makes both checksums right, where the header says where they lie.
inline void seal_session(std::vector<uint8_t>& bytes) {
  constexpr size_t kLeastBytes = SessionFixedPart::kBytes + 2 * kChecksumBytes;
  if (bytes.size() < kLeastBytes) return;
  const auto kv_bytes = load_little_endian<uint64_t>(bytes.data() + kSavedKvBytesField);
  if (kv_bytes > bytes.size() - kLeastBytes) return;
  for (const size_t end : {bytes.size() - kChecksumBytes - static_cast<size_t>(kv_bytes), bytes.size()}) {
    const size_t begin = end - kChecksumBytes;
    store_little_endian(checksum_of(bytes.data(), begin), bytes.data() + begin);
  }
}

// A pumped engine of 64 tokens a sequence, with one model.
class SavedSessionEngine {
 public:
  explicit SavedSessionEngine(const TinyShape& shape) : file_(tiny_gguf(shape)) {
    EngineOptions options;
    options.mode = EngineMode::kPumped;
    options.context_tokens = 64;
    options.max_sequences = 4;
    Result<std::shared_ptr<Engine>> created = Engine::create(options);
    if (!created.ok()) return;
    engine_ = created.take();
    LoadRequest load;
    load.path = "model";
    load.files = memory_files(file_.data(), file_.size(), nullptr);
    const Result<uint64_t> ticket = engine_->load(std::move(load));
    if (!ticket.ok() || !run()) return;
    Result<std::shared_ptr<LoadedModel>> model = engine_->take_model(*ticket);
    if (model.ok()) model_ = model.take();
  }
  // A layer with one head: saved sessions of a kilobyte for each block.
  static TinyShape small_shape() {
    TinyShape shape;
    shape.layers = 1;
    shape.hidden = shape.intermediate = 32;
    shape.heads = 2;
    shape.kv_heads = 1;
    return shape;
  }

  Engine& engine() const { return *engine_; }
  const std::shared_ptr<LoadedModel>& model() const { return model_; }  // null after a failure
  bool run() const {
    for (bool more = true; more;) {
      if (!engine_->step(100000, &more).ok()) return false;
    }
    return true;
  }
  Result<std::shared_ptr<Session>> import(const std::vector<uint8_t>& bytes) const {
    const std::shared_ptr<ModelFiles> files = memory_files(bytes.data(), bytes.size(), nullptr);
    FSV_ASSIGN(const std::unique_ptr<os::File> file, files->open("buffer"));
    return guarded([&] { return engine_->import_session(model_, *file); });
  }

 private:
  std::vector<uint8_t> file_;
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<LoadedModel> model_;
};

struct ImportedFacts {
  Status status;
  SessionInfo info;  // of what was imported
};

// Imports any bytes. `broken` names what must be true of them and was not; null: all of it. Nothing stays.
inline ImportedFacts import_any(const SavedSessionEngine& host, const std::vector<uint8_t>& bytes,
                                const char** broken) {
  SessionTable& table = host.engine().sessions();
  const Result<std::shared_ptr<Session>> first = host.import(bytes);
  ImportedFacts facts{first.status(), {}};
  auto require = [&](bool condition, const char* what) {
    if (!condition && *broken == nullptr) *broken = what;
  };
  *broken = nullptr;
  if (!first.ok()) {
    require(std::strlen(first.status().message()) != 0, "a refusal has a message");
  } else {
    facts.info = table.info(**first);
    require(facts.info.cached_count <= facts.info.token_count, "no more is cached than there is");
    // What is saved of it comes back, and is the same again.
    VectorSink saved, again;
    require(host.engine().export_session(*first, true, saved).ok(), "it can be saved");
    const Result<std::shared_ptr<Session>> second = host.import(saved.bytes);
    require(second.ok(), "what was saved can be loaded");
    if (second.ok()) {
      require(host.engine().export_session(*second, true, again).ok() && again.bytes == saved.bytes,
              "it is the same again");
      table.release(*second);
    }
    for (size_t turn = 0; turn < facts.info.turn_count; ++turn) {
      require(table.undo(**first).ok(), "every turn can be taken back");
    }
    table.release(*first);
  }
  require(host.engine().check_integrity(), "the engine's tables are sound");
  require(host.engine().memory().sessions.session_count == 0, "no session stays");
  require(host.engine().memory().kv.used_bytes == 0, "no block stays");
  return facts;
}

}  // namespace fastserve::test
