// TableSource: the part of a ModelSource that all formats share, a metadata list and a tensor list with look-up.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "formats/model_source.h"

namespace fastserve {

using MetaEntry = std::pair<std::string, MetaValue>;

class TableSource : public ModelSource {
 public:
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const override;
  const MetaValue* find(std::string_view key) const override;
  std::vector<std::string_view> keys() const override;

 protected:
  // Takes the tables over. kCorrupt when a key or a tensor's name occurs twice. Look-up is by binary search over a
  // sorted index: unlike a hash table it has no slow case that a hostile file could aim at.
  Status set_tables(std::vector<MetaEntry> metadata, std::vector<TensorInfo> tensors);
  // kInvalidArgument when a part of a tensor's data lies outside it.
  static Status check_tensor_range(const TensorInfo& tensor, uint64_t offset_bytes, size_t size_bytes);

 private:
  std::vector<MetaEntry> metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint32_t> metadata_order_, tensor_order_;  // indices, sorted by name
};

// One identity for several files: that of the only one, else sizes added and the rest mixed.
os::File::Identity combined_identity(const std::vector<os::File::Identity>& identities);

// A name from a file for use in a message: in quotes, cut, without control or non-ASCII characters.
std::string quoted_name(std::string_view name);

}  // namespace fastserve
