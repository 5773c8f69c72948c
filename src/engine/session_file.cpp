// Sessions to bytes.
#include "engine/session_file.h"

#include <algorithm>

#include "base/little_endian.h"
#include "base/utf8.h"

namespace fastserve {
namespace {

class Encoder {
 public:
  template <typename T>
  void put(T value) {
    bytes.resize(bytes.size() + sizeof(T));
    store_little_endian(value, bytes.data() + bytes.size() - sizeof(T));
  }
  void put_tokens(const std::vector<int32_t>& tokens) {
    for (const int32_t token : tokens) put(static_cast<uint32_t>(token));
  }
  std::vector<uint8_t> bytes;
};

std::vector<uint8_t> encode_head(const Session& session, int32_t kv_token_count) {
  const LoadedModel& model = *session.model;
  const std::string_view name = utf8_truncate(model.facts.name, kNameBytesMax);
  const std::vector<KvLayerShape>& layers = model.def->shape().kv_layers;
  SessionFixedPart fixed;
  fixed.model_fingerprint = model.fingerprint;
  fixed.vocabulary_size = static_cast<uint32_t>(model.def->shape().vocabulary_size);
  fixed.name_bytes = static_cast<uint32_t>(name.size());
  fixed.token_count = static_cast<uint32_t>(session.tokens.size());
  fixed.turn_count = static_cast<uint32_t>(session.turns.size());
  for (const Session::Turn& turn : session.turns) fixed.replaced_count += static_cast<uint32_t>(turn.replaced.size());
  if (kv_token_count > 0) {
    fixed.kv_token_count = static_cast<uint32_t>(kv_token_count);
    fixed.kv_type = static_cast<uint32_t>(model.kv.layers()[0].type);
    fixed.kv_layer_count = static_cast<uint32_t>(layers.size());
    fixed.kv_bytes = static_cast<uint64_t>(model.kv.copy_bytes(kv_token_count));
  }
  fixed.total_bytes = fixed.expected_bytes();

  Encoder out;
  out.bytes.reserve(SessionFixedPart::kBytes + static_cast<size_t>(fixed.variable_bytes()) + kChecksumBytes);
  for_each_field(fixed, [&](auto field) { out.put(field); });
  out.bytes.insert(out.bytes.end(), name.begin(), name.end());
  out.put_tokens(session.tokens);
  for (const Session::Turn& turn : session.turns) {
    out.put(static_cast<uint32_t>(turn.kept));
    out.put(static_cast<uint32_t>(turn.replaced.size()));
  }
  for (const Session::Turn& turn : session.turns) out.put_tokens(turn.replaced);
  for (uint32_t i = 0; i < fixed.kv_layer_count; ++i) {
    const KvLayerShape& layer = layers[i];
    for (const int32_t size : {layer.kv_head_count, layer.head_dim, layer.value_dim, layer.window}) {
      out.put(static_cast<uint32_t>(size));
    }
  }
  out.put(checksum_of(out.bytes.data(), out.bytes.size()));
  return std::move(out.bytes);
}

}  // namespace

Status write_session(const Session& session, const SequenceKv& kv, ByteSink& sink) {
  const std::vector<uint8_t> head = encode_head(session, kv.token_count);
  const KvCache& cache = session.model->kv;
  const bool is_host = &cache.mover() == &host_memory_mover();
  const auto kv_bytes = static_cast<uint64_t>(kv.token_count > 0 ? cache.copy_bytes(kv.token_count) : 0);
  FSV_TRY(sink.begin(head.size() + kv_bytes + kChecksumBytes));
  Checksum checksum;
  auto put = [&](const void* data, size_t size_bytes) {
    checksum.add(data, size_bytes);
    return sink.write(data, size_bytes);
  };
  FSV_TRY(put(head.data(), head.size()));
  const std::vector<KvPiece> pieces = cache.pieces(kv);
  Buffer copy;
  for (const KvPiece& piece : pieces) {
    const auto size_bytes = static_cast<size_t>(piece.size_bytes);
    const bool is_full = piece.slot_count == kernels::kKvBlockTokens;
    if (is_full && is_host) {
      FSV_TRY(put(piece.address, size_bytes));
      continue;
    }
    if (copy.size_bytes() < size_bytes) {
      copy.reset();
      FSV_ASSIGN(copy, Buffer::allocate(*session.model->memory, size_bytes, MemoryUse::kOther));
    }
    FSV_TRY(cache.mover().read(copy.data(), piece.address, size_bytes));
    // What others left in slots that this session does not use is not its own to give away.
    if (!is_full) cache.clear_slots(piece.group, copy.data(), piece.slot_count);
    FSV_TRY(put(copy.data(), size_bytes));
  }
  Encoder end;
  end.put(checksum.value());
  return sink.write(end.bytes.data(), end.bytes.size());
}

}  // namespace fastserve
