// The fixed part of a saved session, for its writer and its reader; see session_file.h.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fastserve {

constexpr uint64_t kSessionMagic = 0x0A1A534553565346;  // "FSVSES", then bytes that text modes of transfers change
constexpr uint32_t kSessionVersion = 1;
constexpr uint32_t kKvLayoutVersion = 1;  // of blocks, as kernel_api.h describes them: what changes them, raises it
constexpr size_t kNameBytesMax = 128, kChecksumBytes = 8;

struct SessionFixedPart {
  uint64_t magic = kSessionMagic;
  uint32_t version = kSessionVersion;
  uint32_t kv_layout_version = kKvLayoutVersion;
  uint64_t total_bytes = 0;  // of the whole stream
  uint64_t kv_bytes = 0;
  uint64_t model_fingerprint = 0;
  uint32_t vocabulary_size = 0;
  uint32_t name_bytes = 0;
  uint32_t token_count = 0;
  uint32_t turn_count = 0;
  uint32_t replaced_count = 0;  // in all turns
  uint32_t kv_token_count = 0;
  uint32_t kv_type = 0;  // kernels::KvType
  uint32_t kv_layer_count = 0;
  static constexpr size_t kBytes = 72;  // in the file

  // Bytes from the fixed part to the first checksum.
  uint64_t variable_bytes() const {
    return name_bytes + uint64_t{4} * token_count + uint64_t{8} * turn_count + uint64_t{4} * replaced_count +
           uint64_t{16} * kv_layer_count;
  }
  uint64_t expected_bytes() const { return kBytes + variable_bytes() + kChecksumBytes + kv_bytes + kChecksumBytes; }
};

// Calls visit(field) for each field in the file's order.
template <typename Part, typename Visit>
void for_each_field(Part& part, Visit&& visit) {
  visit(part.magic);
  visit(part.version);
  visit(part.kv_layout_version);
  visit(part.total_bytes);
  visit(part.kv_bytes);
  visit(part.model_fingerprint);
  for (auto* field : {&part.vocabulary_size, &part.name_bytes, &part.token_count, &part.turn_count,
                      &part.replaced_count, &part.kv_token_count, &part.kv_type, &part.kv_layer_count}) {
    visit(*field);
  }
}

}  // namespace fastserve
