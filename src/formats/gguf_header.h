// The header of one GGUF file, parsed and checked: metadata, tensors, and where their data lies.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/os.h"
#include "formats/buffered_reader.h"
#include "formats/table_source.h"

namespace fastserve {

struct GgufHeader {
  uint32_t version = 0;
  std::vector<MetaEntry> metadata;
  std::vector<TensorInfo> tensors;  // offset_bytes from the beginning of the file
};

// Bounds beyond what the file's size implies, so that a hostile file costs bounded memory.
struct GgufLimits {
  uint64_t tensor_count = uint64_t{1} << 20;
  uint64_t key_count = uint64_t{1} << 20;
  uint64_t array_size = uint64_t{1} << 24;
  uint64_t metadata_bytes = uint64_t{1} << 30;  // in memory
};

// Parses in pieces of a bounded number of bytes, so that the header of a large vocabulary holds no one up. Every count,
// length, offset and size is checked against the file and the limits before use.
class GgufHeaderParser {
 public:
  static constexpr uint64_t kStepBytes = uint64_t{1} << 16;  // of the header; a longer text is read as a whole

  // `file` must outlive the parser.
  explicit GgufHeaderParser(os::File& file, const GgufLimits& limits = {});
  // The next piece. True when none is left.
  Result<bool> step();
  // After the last piece.
  GgufHeader take() { return std::move(header_); }

 private:
  enum class Stage { kPreamble, kEntries, kTensors, kPlaces, kDone };
  struct ValueKind {
    size_t size_bytes;  // 0: no scalar
    MetaType type;
  };
  static ValueKind kind_of(uint32_t number);

  Status advance();
  Status parse_preamble();
  Status parse_count(std::string_view what, uint64_t count_max, uint64_t file_bytes_min, uint64_t& count);
  Status parse_entry();
  Status parse_scalar(ValueKind kind, MetaValue& value);
  Status check_alignment(const MetaValue& value, uint64_t value_begin);
  Status begin_array(MetaValue& value);
  Status parse_elements(MetaValue& value);
  Status parse_strings(uint64_t count, StringTable& strings);
  Status parse_scalars(uint64_t count, MetaValue& value);
  Status parse_tensor();
  Status place_tensors();
  Status check_overlaps() const;
  Status charge(uint64_t size_bytes);
  Status corrupt(uint64_t offset, std::string_view text) const {
    return reader_.error(StatusCode::kCorrupt, offset, text);
  }

  os::File& file_;
  const GgufLimits limits_;
  BufferedReader reader_;
  GgufHeader header_;
  Stage stage_ = Stage::kPreamble;
  uint64_t tensor_count_ = 0, key_count_ = 0;
  uint64_t metadata_bytes_ = 0;
  uint64_t alignment_ = 32;
  std::string what_;         // "value of ..." of the entry that is being read
  uint64_t array_left_ = 0;  // elements of its array that are still to be read
  ValueKind element_kind_{0, MetaType::kNone};
  std::string text_;  // reused from string to string
};

// All at once.
Result<GgufHeader> parse_gguf_header(os::File& file, const GgufLimits& limits = {});

}  // namespace fastserve
