// Sessions as a stream of bytes. All numbers are little-endian:
//
//   fixed part         SessionFixedPart, in its order
//   model name         bytes
//   tokens             int32 each
//   turns              uint32 kept, uint32 count of replaced tokens; oldest first
//   replaced tokens    int32 each, those of the oldest turn first
//   KV layers          uint32 kv_head_count, head_dim, value_dim, window (none without KV)
//   checksum           of all before
//   KV                 blocks as in KvCache::pieces, unused slots zero
//   checksum           of all before
//
// A reader believes nothing before its checksum, and nothing that contradicts the rest.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_sink.h"
#include "base/checksum.h"
#include "base/os.h"
#include "engine/session.h"
#include "engine/session_layout.h"

namespace fastserve {

// Writes a session that nobody changes meanwhile, with the keys and values in `kv` (which may have none).
Status write_session(const Session& session, const SequenceKv& kv, ByteSink& sink);

// Reads one back: first all but the KV, then that into its place or past it.
class SessionReader {
 public:
  explicit SessionReader(os::File& file) : file_(file) {}

  // The text and turns of a session of `model`. Another model's is kInvalidArgument; one that is longer than the
  // model's context here is kContextTooLong.
  Status read_text(const LoadedModel& model, Session& session);
  // Tokens whose KV follows and is laid out as this model's is now; 0: what follows is of no use here.
  int32_t kv_token_count() const { return kv_token_count_; }
  // The KV into the blocks of `kv`, which has kv_token_count() tokens, or (null) nowhere; checked to the file's end.
  Status read_kv(KvCache& cache, const SequenceKv* kv);

 private:
  Status read(void* data, size_t size_bytes);
  Status read_checksum(const char* what);
  Result<SessionFixedPart> read_fixed_part();
  Status pass(uint64_t size_bytes);  // to where the KV ends
  Status corrupt(std::string text) const;

  os::File& file_;
  uint64_t offset_ = 0;
  Checksum checksum_;
  uint64_t kv_bytes_ = 0;
  int32_t kv_token_count_ = 0;
};

}  // namespace fastserve
