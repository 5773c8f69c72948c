// Sessions: texts kept between requests: tokens, the turns that made them, and the keys and values of as much as memory
// allows. A session's KV is a cache: where running requests need its blocks it is dropped, and computed again by the
// next turn.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/sequence.h"

namespace fastserve {

struct Session {
  static constexpr size_t kTurnsMax = 256;  // that can be taken back

  struct Turn {  // what takes it back: the first `kept` tokens, then those that it replaced
    int32_t kept = 0;
    std::vector<int32_t> replaced;
  };

  std::shared_ptr<LoadedModel> model;  // a session is a use of its model
  // Guarded by the table's mutex. While a turn is under way nothing writes `tokens`, and its owner reads them freely.
  std::vector<int32_t> tokens;
  std::vector<Turn> turns;  // the latest ones
  SequenceKv kv;            // idle: of the first kv.token_count tokens; empty while a request runs
  uint64_t last_used = 0;
  bool is_busy = false;
  bool is_released = false;
};

class SessionTable;

// The right to change a session, from a submit to the end of its request; one at a time. Ends, if not by end(), as if
// it had never begun; not under the table's mutex then.
class SessionTurn {
 public:
  SessionTurn(SessionTable& table, std::shared_ptr<Session> session) : table_(table), session_(std::move(session)) {}
  ~SessionTurn();
  SessionTurn(const SessionTurn&) = delete;
  SessionTurn& operator=(const SessionTurn&) = delete;

  const std::shared_ptr<LoadedModel>& model() const { return session_->model; }
  const std::vector<int32_t>& tokens() const { return session_->tokens; }
  // What the session will be computed from: how much of it is as before decides what can be kept.
  void set_prompt(const std::vector<int32_t>& prompt);

 private:
  friend class SessionTable;
  SessionTable& table_;
  std::shared_ptr<Session> session_;  // null once ended
  int32_t common_ = 0;                // leading tokens of the prompt that the session has
  int32_t reusable_max_ = 0;          // of them, as the last token of a prompt is always computed
  bool has_kv_ = false;               // the request holds the session's KV
};

// KV of a session that is not in the table yet, or not any more; given back if nobody takes it. Not to be destroyed
// under the table's mutex.
class ClaimedKv {
 public:
  ClaimedKv(SessionTable& table, std::shared_ptr<LoadedModel> model) : table_(table), model_(std::move(model)) {}
  ~ClaimedKv();
  ClaimedKv(const ClaimedKv&) = delete;
  ClaimedKv& operator=(const ClaimedKv&) = delete;

  SequenceKv kv;  // idle

 private:
  friend class SessionTable;
  SessionTable& table_;
  std::shared_ptr<LoadedModel> model_;
};

struct SessionInfo {
  bool is_busy = false;
  size_t token_count = 0, cached_count = 0, turn_count = 0;
  int64_t kv_bytes = 0;
};

// The sessions of one engine; `mutex` is the engine's own and guards their KV too, which its thread plans with.
class SessionTable {
 public:
  explicit SessionTable(std::mutex& mutex) : mutex_(mutex) {}

  // For hosts; they take the mutex.
  Result<std::shared_ptr<Session>> create(std::shared_ptr<LoadedModel> model);
  // Takes a session that was made elsewhere, and its KV. May throw bad_alloc: then it is not in the table.
  void adopt(std::shared_ptr<Session> session, ClaimedKv& claimed);
  // Blocks for the KV of `token_count` tokens, at the cost of idle sessions; false where running requests leave none.
  bool claim(ClaimedKv& claimed, int32_t token_count);
  // Calls `body` with a session that nobody changes meanwhile and, if `with_kv`, its KV, which nobody takes meanwhile.
  // The mutex is free then.
  using Read = std::function<Status(const Session& session, const SequenceKv& kv)>;
  Status read(std::shared_ptr<Session> session, bool with_kv, const Read& body);
  void release(const std::shared_ptr<Session>& session) noexcept;
  Result<std::shared_ptr<SessionTurn>> begin_turn(std::shared_ptr<Session> session);
  // A new session with the first `token_count` tokens of another and what of its KV belongs to them.
  Result<std::shared_ptr<Session>> fork(Session& source, size_t token_count);
  Status truncate(Session& session, size_t token_count);
  Status undo(Session& session);
  SessionInfo info(const Session& session);
  std::vector<int32_t> tokens(const Session& session);

  // For the engine, which holds the mutex.
  // Tokens that lend() would bring now.
  int32_t reusable(const SessionTurn& turn) const noexcept;
  // Hands the session's KV to its request, cut to what the prompt can use; returns its tokens.
  int32_t lend(SessionTurn& turn, SequenceKv& kv) noexcept;
  // Takes it back from a request that was not admitted.
  void take_back(SessionTurn& turn, SequenceKv& kv) noexcept;
  // The request's text becomes the session's, its KV too; after a failure the text stays as it was before.
  void end(SessionTurn& turn, Sequence& sequence, bool has_failed) noexcept;
  // Lets an admission count on the KV of every session of `model`. After it settle() drops what no longer has room:
  // sessions that were used longest ago first.
  void loosen(const LoadedModel& model) noexcept;
  void settle(const LoadedModel& model) noexcept;
  // The idle session that was used longest ago loses its KV, of whatever model. False: none has any.
  bool drop_oldest(const LoadedModel* keeps = nullptr) noexcept;  // nor one of `keeps`
  // All idle ones of a model lose theirs.
  void drop_all(const LoadedModel& model) noexcept;
  // Appends the KV of every session of `model`.
  void list(const LoadedModel& model, std::vector<SequenceKv*>& sequences);
  void collect(const LoadedModel& model, std::vector<const SequenceKv*>& sequences) const;
  struct Usage {
    uint32_t session_count = 0;
    int64_t kv_bytes = 0;
  };
  Usage usage() const;

 private:
  friend class SessionTurn;
  friend class ClaimedKv;
  void abandon(SessionTurn& turn) noexcept;
  void leave(Session& session) noexcept;
  void add(std::shared_ptr<Session> session);

  std::mutex& mutex_;
  std::vector<std::shared_ptr<Session>> sessions_;
  uint64_t clock_ = 0;  // of last_used
};

}  // namespace fastserve
