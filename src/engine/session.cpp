// Sessions: turns, forks and cuts, and whose KV goes first.
#include "engine/session.h"

#include <algorithm>

#include "base/format.h"

namespace fastserve {
namespace {

Status busy() {
  return Status::from_literal(StatusCode::kWrongState, "the session is busy: a request has it, or it is being saved");
}

size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  const auto end = a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return static_cast<size_t>(std::mismatch(a.begin(), end, b.begin()).first - a.begin());
}

// May throw bad_alloc; then nothing changed.
void remember_turn(Session& session, const std::vector<int32_t>& tokens) {
  const size_t kept = common_prefix(session.tokens, tokens);
  const auto first = session.tokens.begin() + static_cast<std::ptrdiff_t>(kept);
  Session::Turn turn{static_cast<int32_t>(kept), {first, session.tokens.end()}};
  if (session.turns.size() >= Session::kTurnsMax) session.turns.erase(session.turns.begin());
  session.turns.push_back(std::move(turn));
}

// Turns that only changed what is cut off now.
void forget_turns_from(Session& session, size_t token_count) {
  while (!session.turns.empty() && static_cast<size_t>(session.turns.back().kept) >= token_count) {
    session.turns.pop_back();
  }
}

}  // namespace

SessionTurn::~SessionTurn() {
  if (session_ != nullptr) table_.abandon(*this);
}

void SessionTurn::set_prompt(const std::vector<int32_t>& prompt) {
  common_ = static_cast<int32_t>(common_prefix(session_->tokens, prompt));
  reusable_max_ = std::min(common_, static_cast<int32_t>(prompt.size()) - 1);
}

void SessionTable::add(std::shared_ptr<Session> session) {
  session->last_used = ++clock_;
  sessions_.push_back(std::move(session));
}

Result<std::shared_ptr<Session>> SessionTable::create(std::shared_ptr<LoadedModel> model) {
  auto session = std::make_shared<Session>();
  session->model = std::move(model);
  const std::lock_guard lock(mutex_);
  add(session);
  return session;
}

void SessionTable::release(const std::shared_ptr<Session>& session) noexcept {
  const std::lock_guard lock(mutex_);
  session->is_released = true;
  if (!session->is_busy) leave(*session);
}

// A released session whose last turn is over. mutex_ held.
void SessionTable::leave(Session& session) noexcept {
  session.model->kv.release(session.kv);
  std::erase_if(sessions_, [&](const std::shared_ptr<Session>& other) { return other.get() == &session; });
}

Result<std::shared_ptr<SessionTurn>> SessionTable::begin_turn(std::shared_ptr<Session> session) {
  const std::lock_guard lock(mutex_);
  if (session->is_busy) return busy();
  Session& begun = *session;
  auto turn = std::make_shared<SessionTurn>(*this, std::move(session));
  begun.is_busy = true;
  return turn;
}

void SessionTable::abandon(SessionTurn& turn) noexcept {
  const std::shared_ptr<Session> session = std::move(turn.session_);
  const std::lock_guard lock(mutex_);
  session->is_busy = false;
  if (session->is_released) leave(*session);
}

ClaimedKv::~ClaimedKv() {
  const std::lock_guard lock(table_.mutex_);
  model_->kv.release(kv);
}

bool SessionTable::claim(ClaimedKv& claimed, int32_t token_count) {
  LoadedModel& model = *claimed.model_;
  const std::lock_guard lock(mutex_);
  bool admitted = model.kv.admit(claimed.kv, token_count, 0);
  while (!admitted && model.kv.grow()) admitted = model.kv.admit(claimed.kv, token_count, 0);
  while (!admitted && model.prefixes.evict(model.kv)) admitted = model.kv.admit(claimed.kv, token_count, 0);
  if (!admitted && model.kv.could_admit(token_count, 0)) {
    loosen(model);
    admitted = model.kv.admit(claimed.kv, token_count, 0);  // its bookkeeping is reserved: it throws no more
    settle(model);
  }
  if (!admitted) return false;
  model.kv.make_slots(claimed.kv, token_count);
  model.kv.suspend(claimed.kv);
  return true;
}

void SessionTable::adopt(std::shared_ptr<Session> session, ClaimedKv& claimed) {
  const std::lock_guard lock(mutex_);
  Session& adopted = *session;
  add(std::move(session));
  adopted.kv = std::exchange(claimed.kv, SequenceKv());
}

Status SessionTable::read(std::shared_ptr<Session> session, bool with_kv, const Read& body) {
  FSV_ASSIGN(const std::shared_ptr<SessionTurn> turn, begin_turn(session));
  SequenceKv kv;
  if (with_kv) {
    const std::lock_guard lock(mutex_);
    kv = std::exchange(session->kv, SequenceKv());
    turn->has_kv_ = true;
  }
  Status status = guarded([&] { return body(*session, kv); });
  const std::lock_guard lock(mutex_);
  take_back(*turn, kv);
  return status;
}

Result<std::shared_ptr<Session>> SessionTable::fork(Session& source, size_t token_count) {
  auto session = std::make_shared<Session>();
  const std::lock_guard lock(mutex_);
  if (source.is_busy) return busy();
  const size_t count = std::min(token_count, source.tokens.size());
  session->model = source.model;
  session->tokens.assign(source.tokens.begin(), source.tokens.begin() + static_cast<std::ptrdiff_t>(count));
  session->turns = source.turns;
  forget_turns_from(*session, count);
  add(session);
  source.last_used = ++clock_;
  const Status shared = guarded([&] {
    source.model->kv.fork(source.kv, session->kv, static_cast<int32_t>(count));
    return Status();
  });
  if (!shared.ok()) {
    leave(*session);
    return shared;
  }
  return session;
}

Status SessionTable::truncate(Session& session, size_t token_count) {
  const std::lock_guard lock(mutex_);
  if (session.is_busy) return busy();
  if (token_count > session.tokens.size()) {
    return Status(StatusCode::kInvalidArgument,
                  format("token_count is ", token_count, ", the session has ", session.tokens.size(), " tokens"));
  }
  session.tokens.resize(token_count);
  session.model->kv.truncate(session.kv, static_cast<int32_t>(token_count));
  forget_turns_from(session, token_count);
  return {};
}

Status SessionTable::undo(Session& session) {
  const std::lock_guard lock(mutex_);
  if (session.is_busy) return busy();
  if (session.turns.empty()) return Status::from_literal(StatusCode::kWrongState, "the session has no turn to undo");
  const Session::Turn& turn = session.turns.back();
  const auto kept = static_cast<size_t>(turn.kept);
  session.tokens.reserve(kept + turn.replaced.size());  // the one thing that can fail
  session.tokens.resize(kept);
  session.tokens.insert(session.tokens.end(), turn.replaced.begin(), turn.replaced.end());
  session.model->kv.truncate(session.kv, turn.kept);
  session.turns.pop_back();
  return {};
}

SessionInfo SessionTable::info(const Session& session) {
  const std::lock_guard lock(mutex_);
  return {session.is_busy, session.tokens.size(), static_cast<size_t>(session.kv.token_count), session.turns.size(),
          session.model->kv.held_bytes(session.kv)};
}

std::vector<int32_t> SessionTable::tokens(const Session& session) {
  const std::lock_guard lock(mutex_);
  return session.tokens;
}

int32_t SessionTable::reusable(const SessionTurn& turn) const noexcept {
  const Session& session = *turn.session_;
  return session.model->kv.reusable_prefix(session.kv, turn.reusable_max_);
}

int32_t SessionTable::lend(SessionTurn& turn, SequenceKv& kv) noexcept {
  Session& session = *turn.session_;
  kv = std::exchange(session.kv, SequenceKv());
  turn.has_kv_ = true;
  return session.model->kv.truncate(kv, turn.reusable_max_);
}

void SessionTable::take_back(SessionTurn& turn, SequenceKv& kv) noexcept {
  if (!std::exchange(turn.has_kv_, false)) return;
  turn.session_->model->kv.suspend(kv);
  turn.session_->kv = std::exchange(kv, SequenceKv());
}

void SessionTable::end(SessionTurn& turn, Sequence& sequence, bool has_failed) noexcept {
  const std::shared_ptr<Session> ended = std::move(turn.session_);
  Session& session = *ended;
  KvCache& kv = session.model->kv;
  int32_t valid = turn.common_;  // of the KV: computed from tokens that the session has from now on
  if (turn.has_kv_) {
    kv.suspend(sequence.kv);
    session.kv = std::exchange(sequence.kv, SequenceKv());
    // A context that slid may have left less of the session's text than the prompt had.
    if (has_failed) valid = static_cast<int32_t>(common_prefix(session.tokens, sequence.tokens));
    valid = has_failed ? std::min(valid, sequence.computed) : sequence.computed;
  }
  kv.truncate(session.kv, valid);
  if (!has_failed) {
    const Status remembered = guarded([&] {
      remember_turn(session, sequence.tokens);
      return Status();
    });
    if (!remembered.ok()) session.turns.clear();  // without memory for it: nothing can be taken back
    session.tokens = std::exchange(sequence.tokens, {});
  }
  session.last_used = ++clock_;
  session.is_busy = false;
  if (session.is_released) leave(session);
}

void SessionTable::loosen(const LoadedModel& model) noexcept {
  for (const auto& session : sessions_) {
    if (session->model.get() == &model) session->model->kv.loosen(session->kv);
  }
}

void SessionTable::settle(const LoadedModel& model) noexcept {
  std::sort(sessions_.begin(), sessions_.end(),
            [](const auto& a, const auto& b) { return a->last_used > b->last_used; });
  for (const auto& session : sessions_) {
    if (session->model.get() != &model || session->model->kv.hold_again(session->kv)) continue;
    session->model->kv.release(session->kv);
  }
}

void SessionTable::drop_all(const LoadedModel& model) noexcept {
  for (const auto& session : sessions_) {
    if (session->model.get() == &model) session->model->kv.release(session->kv);
  }
}

bool SessionTable::drop_oldest(const LoadedModel* keeps) noexcept {
  Session* oldest = nullptr;
  for (const auto& session : sessions_) {
    if (session->kv.token_count == 0 || session->model.get() == keeps) continue;
    if (oldest == nullptr || session->last_used < oldest->last_used) oldest = session.get();
  }
  if (oldest == nullptr) return false;
  oldest->model->kv.release(oldest->kv);
  return true;
}

void SessionTable::list(const LoadedModel& model, std::vector<SequenceKv*>& sequences) {
  for (const auto& session : sessions_) {
    if (session->model.get() == &model) sequences.push_back(&session->kv);
  }
}

void SessionTable::collect(const LoadedModel& model, std::vector<const SequenceKv*>& sequences) const {
  for (const auto& session : sessions_) {
    if (session->model.get() == &model) sequences.push_back(&session->kv);
  }
}

SessionTable::Usage SessionTable::usage() const {
  Usage usage;
  for (const auto& session : sessions_) {
    usage.session_count += session->is_released ? 0 : 1;
    usage.kv_bytes += session->model->kv.held_bytes(session->kv);
  }
  return usage;
}

}  // namespace fastserve
