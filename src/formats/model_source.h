// ModelSource: what a model file holds, whatever its format: typed metadata, a table of tensors, and their bytes.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/os.h"
#include "base/status.h"
#include "base/string_table.h"
#include "formats/model_files.h"

namespace fastserve {

struct TensorInfo {
  std::string name;
  uint32_t type = 0;  // GGUF type number; may be one that we cannot run
  uint32_t dimension_count = 0;
  int64_t dimensions[4] = {1, 1, 1, 1};  // GGUF order: [0] is the contiguous one (columns), [1] rows
  uint64_t offset_bytes = 0;             // of its data in part `part`
  uint64_t size_bytes = 0;
  uint32_t part = 0;  // file of a split model
  int64_t element_count() const { return dimensions[0] * dimensions[1] * dimensions[2] * dimensions[3]; }
};

enum class MetaType : uint32_t { kNone = 0, kUint, kInt, kFloat, kBool, kString, kArray };

// One metadata value. Integers of every width are widened; arrays are homogeneous.
struct MetaValue {
  MetaType type = MetaType::kNone;
  uint64_t uint_value = 0;
  int64_t int_value = 0;
  double float_value = 0;
  bool bool_value = false;
  std::string string_value;
  MetaType element_type = MetaType::kNone;  // of an array
  StringTable strings;                      // kString elements
  std::vector<int64_t> integers;            // kUint, kInt and kBool elements
  std::vector<double> floats;               // kFloat elements
  size_t array_size() const {
    return element_type == MetaType::kString  ? strings.size()
           : element_type == MetaType::kFloat ? floats.size()
                                              : integers.size();
  }
};

class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual std::string_view format() const = 0;  // "gguf v3"
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual const TensorInfo* find_tensor(std::string_view name) const = 0;
  virtual const MetaValue* find(std::string_view key) const = 0;
  virtual std::vector<std::string_view> keys() const = 0;  // in file order
  // Reads bytes of a tensor's data. Range checked. Threads may read at once.
  virtual Status read_tensor(const TensorInfo& tensor, uint64_t offset_bytes, void* destination, size_t size_bytes) = 0;
  virtual uint64_t file_bytes() const = 0;
  // Identity of what was opened; one for all the files of a split or sharded model.
  virtual os::File::Identity identity() const = 0;
  // A file that lies beside the weights of a folder ("tokenizer.json"). kNotFound where there is none, and in formats
  // that are a single file. It must not outlive the source.
  virtual Result<std::unique_ptr<os::File>> open_side_file(std::string_view name) const;
  // All that is in it.
  Result<std::string> read_side_file(std::string_view name) const;

  // Typed look-ups. `get_*` fail with the key's name when it is missing or of another type; `*_or` fall back only
  // when it is missing.
  Result<uint64_t> get_uint(std::string_view key) const;
  Result<double> get_float(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<uint64_t> uint_or(std::string_view key, uint64_t fallback) const;
  Result<double> float_or(std::string_view key, double fallback) const;
  Result<bool> bool_or(std::string_view key, bool fallback) const;
  Result<std::string_view> string_or(std::string_view key, std::string_view fallback) const;
};

// Reads a GGUF v2/v3 header and checks every count, offset and length against the file before use.
Result<std::unique_ptr<ModelSource>> open_gguf(std::unique_ptr<os::File> file);
// Opens whatever lies at `path`: a GGUF file, any part of a split one, or a Hugging Face folder with safetensors, which
// then looks as its GGUF conversion would (see hf_folder.h). A source that reads further files later keeps `files`; the
// others need it to live as long as they do.
Result<std::unique_ptr<ModelSource>> open_model_source(const std::shared_ptr<ModelFiles>& files, std::string_view path);
Result<std::unique_ptr<ModelSource>> open_model_source(std::string_view path);  // of the system's files

// The same in pieces that take well under a millisecond each, whatever the size of a header.
class SourceOpening {
 public:
  virtual ~SourceOpening() = default;
  // The next piece. True when none is left.
  virtual Result<bool> step() = 0;
  // After the last piece.
  virtual std::unique_ptr<ModelSource> take() = 0;
};
Result<std::unique_ptr<SourceOpening>> begin_opening(const std::shared_ptr<ModelFiles>& files, std::string_view path);
// All pieces of an opening.
Result<std::unique_ptr<ModelSource>> finish_opening(SourceOpening& opening);

}  // namespace fastserve
