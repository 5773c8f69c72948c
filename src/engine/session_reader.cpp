// Bytes to sessions. Sizes are checked against the file before anything is allocated by them, and nothing is believed
// before its checksum.
#include <algorithm>

#include "base/format.h"
#include "base/little_endian.h"
#include "engine/session_file.h"

namespace fastserve {
namespace {

constexpr uint32_t kTextTokensMax = (1U << 24) + 1;  // no engine has a longer context

class Decoder {
 public:
  explicit Decoder(const uint8_t* bytes) : next_(bytes) {}
  template <typename T>
  T take() {
    const T value = load_little_endian<T>(next_);
    next_ += sizeof(T);
    return value;
  }
  std::string take_text(size_t size_bytes) {
    const auto* text = reinterpret_cast<const char*>(next_);
    next_ += size_bytes;
    return {text, size_bytes};
  }

 private:
  const uint8_t* next_;
};

Status check_model(const SessionFixedPart& fixed, const std::string& name, const LoadedModel& model) {
  const int32_t vocabulary = model.def->shape().vocabulary_size;
  if (fixed.model_fingerprint == model.fingerprint && fixed.vocabulary_size == static_cast<uint32_t>(vocabulary)) {
    return {};
  }
  return Status(StatusCode::kInvalidArgument,
                format("the session belongs to another model: to \"", name, "\" with the fingerprint ",
                       fixed.model_fingerprint, " and a vocabulary of ", fixed.vocabulary_size, ", not to \"",
                       model.facts.name, "\" with ", model.fingerprint, " and ", vocabulary));
}

// A text may be one token longer than the context: its last one was drawn and not computed.
Status check_length(const SessionFixedPart& fixed, const LoadedModel& model) {
  if (int64_t{fixed.token_count} <= int64_t{model.context_tokens} + 1) return {};
  return Status(StatusCode::kContextTooLong,
                format("the session has ", fixed.token_count, " tokens, the context holds ", model.context_tokens));
}

Result<std::vector<int32_t>> take_tokens(Decoder& in, size_t count, const LoadedModel& model) {
  std::vector<int32_t> tokens(count);
  const int32_t vocabulary = model.def->shape().vocabulary_size;
  for (int32_t& token : tokens) {
    token = static_cast<int32_t>(in.take<uint32_t>());
    if (token >= 0 && token < vocabulary) continue;
    return Status(StatusCode::kCorrupt,
                  format("a token of the session is ", token, ", outside the vocabulary of ", vocabulary));
  }
  return tokens;
}

// Each turn replaced the end of the text that the one before left: taken back from the last, every cut must lie within
// the text of that time.
Result<std::vector<Session::Turn>> take_turns(Decoder& in, const SessionFixedPart& fixed, const LoadedModel& model) {
  std::vector<Session::Turn> turns(fixed.turn_count);
  std::vector<uint32_t> replaced_counts(fixed.turn_count);
  for (size_t i = 0; i < turns.size(); ++i) {
    const auto kept = in.take<uint32_t>();
    replaced_counts[i] = in.take<uint32_t>();
    turns[i].kept = static_cast<int32_t>(std::min(kept, kTextTokensMax));
  }
  uint64_t text_count = fixed.token_count, replaced_count = 0;
  for (size_t i = turns.size(); i-- > 0;) {
    const auto kept = static_cast<uint64_t>(turns[i].kept);
    const bool is_within = kept <= text_count;
    text_count = kept + replaced_counts[i];
    replaced_count += replaced_counts[i];
    if (!is_within || text_count > kTextTokensMax || replaced_count > fixed.replaced_count) {
      return Status(StatusCode::kCorrupt, format("turn ", i, " of the session does not fit its text"));
    }
  }
  if (replaced_count != fixed.replaced_count) {
    return Status(StatusCode::kCorrupt,
                  format("the session's turns replace ", replaced_count, " tokens, not ", fixed.replaced_count));
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    FSV_ASSIGN(turns[i].replaced, take_tokens(in, replaced_counts[i], model));
  }
  return turns;
}

// Whether the KV in the file is as this engine keeps it.
bool has_layout(Decoder& in, const SessionFixedPart& fixed, const LoadedModel& model) {
  const std::vector<KvLayerShape>& layers = model.def->shape().kv_layers;
  bool same = fixed.kv_layout_version == kKvLayoutVersion &&
              fixed.kv_type == static_cast<uint32_t>(model.kv.layers()[0].type) &&
              fixed.kv_layer_count == layers.size();
  for (size_t i = 0; same && i < layers.size(); ++i) {
    for (const int32_t size : {layers[i].kv_head_count, layers[i].head_dim, layers[i].value_dim, layers[i].window}) {
      same = in.take<uint32_t>() == static_cast<uint32_t>(size) && same;
    }
  }
  return same;
}

}  // namespace

Status SessionReader::corrupt(std::string text) const {
  return Status(StatusCode::kCorrupt, format("\"", file_.name(), "\": ", text));
}

Status SessionReader::read(void* data, size_t size_bytes) {
  FSV_TRY(file_.read_at(offset_, data, size_bytes));
  offset_ += size_bytes;
  checksum_.add(data, size_bytes);
  return {};
}

Status SessionReader::read_checksum(const char* what) {
  const uint64_t expected = checksum_.value();
  uint8_t bytes[kChecksumBytes];
  FSV_TRY(read(bytes, sizeof(bytes)));
  const auto found = load_little_endian<uint64_t>(bytes);
  if (found == expected) return {};
  return corrupt(format("the ", what, " is damaged: its checksum is ", expected, ", ", found, " was written"));
}

Result<SessionFixedPart> SessionReader::read_fixed_part() {
  uint8_t bytes[SessionFixedPart::kBytes];
  if (file_.size_bytes() < sizeof(bytes)) return corrupt("is too short for a saved session");
  FSV_TRY(read(bytes, sizeof(bytes)));
  SessionFixedPart fixed;
  Decoder in(bytes);
  for_each_field(fixed, [&](auto& field) { field = in.take<std::remove_reference_t<decltype(field)>>(); });
  if (fixed.magic != kSessionMagic) return corrupt("is no saved session");
  if (fixed.version != kSessionVersion) {
    return Status(StatusCode::kUnsupported, format("\"", file_.name(), "\": saved sessions of version ", fixed.version,
                                                   " are not known, only ", kSessionVersion));
  }
  if (fixed.total_bytes != file_.size_bytes()) {
    return corrupt(format("has ", file_.size_bytes(), " bytes, ", fixed.total_bytes, " were written"));
  }
  if (fixed.kv_bytes > fixed.total_bytes || fixed.expected_bytes() != fixed.total_bytes ||
      fixed.turn_count > Session::kTurnsMax || fixed.kv_token_count > fixed.token_count) {
    return corrupt("the sizes in its header contradict each other");
  }
  return fixed;
}

Status SessionReader::read_text(const LoadedModel& model, Session& session) {
  FSV_ASSIGN(const SessionFixedPart fixed, read_fixed_part());
  std::vector<uint8_t> bytes(static_cast<size_t>(fixed.variable_bytes()));
  FSV_TRY(read(bytes.data(), bytes.size()));
  FSV_TRY(read_checksum("text"));
  Decoder in(bytes.data());
  const std::string name = in.take_text(fixed.name_bytes);
  FSV_TRY(check_model(fixed, name, model));
  FSV_TRY(check_length(fixed, model));
  FSV_ASSIGN(session.tokens, take_tokens(in, fixed.token_count, model));
  FSV_ASSIGN(session.turns, take_turns(in, fixed, model));
  kv_bytes_ = fixed.kv_bytes;
  if (fixed.kv_token_count == 0 || !has_layout(in, fixed, model)) return {};
  kv_token_count_ = static_cast<int32_t>(fixed.kv_token_count);
  const auto expected = static_cast<uint64_t>(model.kv.copy_bytes(kv_token_count_));
  if (kv_bytes_ == expected) return {};
  return corrupt(format("has ", kv_bytes_, " bytes of KV, ", kv_token_count_, " tokens have ", expected));
}

Status SessionReader::read_kv(KvCache& cache, const SequenceKv* kv) {
  if (kv != nullptr) {
    const bool is_host = &cache.mover() == &host_memory_mover();
    std::vector<uint8_t> copy;
    for (const KvPiece& piece : cache.pieces(*kv)) {
      const auto size_bytes = static_cast<size_t>(piece.size_bytes);
      if (!is_host) copy.resize(size_bytes);
      FSV_TRY(read(is_host ? piece.address : copy.data(), size_bytes));
      if (!is_host) FSV_TRY(cache.mover().write(piece.address, copy.data(), size_bytes));
    }
  } else {
    FSV_TRY(pass(kv_bytes_));
  }
  return read_checksum("KV");
}

Status SessionReader::pass(uint64_t size_bytes) {
  std::vector<uint8_t> passed(static_cast<size_t>(std::min<uint64_t>(size_bytes, uint64_t{1} << 16)));
  while (size_bytes != 0) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(size_bytes, passed.size()));
    FSV_TRY(read(passed.data(), count));
    size_bytes -= count;
  }
  return {};
}

}  // namespace fastserve
