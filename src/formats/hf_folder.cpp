// Opening of folders: configuration, shards, and the table of tensors that they add up to.
#include "formats/hf_folder.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/format.h"
#include "base/json.h"
#include "formats/hf_config.h"
#include "formats/hf_tensor.h"
#include "formats/safetensors.h"

namespace fastserve {
namespace {

constexpr uint64_t kConfigBytesMax = uint64_t{64} << 20;
constexpr uint64_t kSideFileBytesMax = uint64_t{256} << 20;
constexpr size_t kShardCountMax = 512;
constexpr std::string_view kLoneShard = "model.safetensors";

Result<std::unique_ptr<os::File>> open_bounded(ModelFiles& files, const std::string& path, uint64_t size_bytes_max) {
  FSV_ASSIGN(std::unique_ptr<os::File> file, files.open(path));
  if (file->size_bytes() <= size_bytes_max) return file;
  return Status(StatusCode::kUnsupported,
                format("\"", path, "\" has ", file->size_bytes(), " bytes, more than ", size_bytes_max));
}

Result<std::string> read_whole(ModelFiles& files, const std::string& path, uint64_t size_bytes_max,
                               os::File::Identity* identity = nullptr) {
  FSV_ASSIGN(const std::unique_ptr<os::File> file, open_bounded(files, path, size_bytes_max));
  if (identity != nullptr) *identity = file->identity();
  std::string text(static_cast<size_t>(file->size_bytes()), '\0');
  FSV_TRY(file->read_at(0, text.data(), text.size()));
  return text;
}

// A name in the folder itself: an index must not lead elsewhere.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name[0] != '.' && name.find_first_of(std::string_view("/\\:\0", 4)) == std::string_view::npos;
}

class HfFolderSource final : public TableSource {
 public:
  HfFolderSource(std::shared_ptr<ModelFiles> model_files, std::string folder)
      : model_files_(std::move(model_files)), folder_(std::move(folder)) {}

  std::string_view format() const override { return "safetensors"; }
  uint64_t file_bytes() const override {
    uint64_t bytes = 0;
    for (const auto& file : files_) bytes += file->size_bytes();
    return bytes;
  }
  os::File::Identity identity() const override {
    std::vector<os::File::Identity> identities = side_identities_;  // they can change what the weights mean
    for (const auto& file : files_) identities.push_back(file->identity());
    return combined_identity(identities);
  }
  Status read_tensor(const TensorInfo& tensor, uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    return guarded([&] { return read_part(tensor, offset_bytes, static_cast<uint8_t*>(destination), size_bytes); });
  }
  Result<std::unique_ptr<os::File>> open_side_file(std::string_view name) const override {
    return guarded([&]() -> Result<std::unique_ptr<os::File>> {
      if (is_plain_name(name)) return open_bounded(*model_files_, path_of(name), kSideFileBytesMax);
      return Status(StatusCode::kInvalidArgument, fastserve::format(quoted_name(name), " is no plain file name"));
    });
  }

  // The next piece of opening it. True when none is left.
  Result<bool> advance();

 private:
  enum class Stage { kConfig, kIndex, kShards, kTables };
  Status read_config();
  void identify_side_files();
  Status read_chat_template();
  Status list_shards();
  Status open_next_shard();
  Status open_shard(std::string_view name);
  Status place_tensor(const SafeTensor& tensor, uint32_t file);
  Status add_piece(const std::string& name, const HfPlace& place, const SafeTensor& tensor, const HfPiece& piece,
                   std::vector<int64_t> shape);
  Status finish();
  Status read_part(const TensorInfo& tensor, uint64_t offset_bytes, uint8_t* destination, size_t size_bytes);
  Result<std::shared_ptr<const std::vector<uint8_t>>> whole_tensor(const std::string& name, const HfTensor& tensor);
  std::string path_of(std::string_view name) const {
    return fastserve::format(folder_, folder_.empty() || folder_.back() != '/' ? "/" : "", name);
  }
  Status fail(StatusCode code, std::string_view text) const {
    return Status(code, fastserve::format("\"", folder_, "\": ", text));
  }

  // A tensor while its pieces are gathered.
  struct Gathered {
    HfTensor tensor;
    std::vector<int64_t> shape;  // of a piece, as the file has it
    size_t piece_count = 0;      // that are there
    bool stacked = false;
  };

  const std::shared_ptr<ModelFiles> model_files_;  // first: outlives the files
  const std::string folder_;
  Stage stage_ = Stage::kConfig;
  std::vector<std::string> shards_;  // in the order of their names; those from files_.size() on are still to be opened
  HfModel model_;
  std::vector<os::File::Identity> side_identities_;
  HfFiles files_;
  std::map<std::string, Gathered, std::less<>> gathered_;
  std::map<std::string, HfTensor, std::less<>> recipes_;

  // The last tensor that had to be made whole; loaders read one tensor after the other.
  std::mutex whole_mutex_;
  std::string whole_name_;
  std::shared_ptr<const std::vector<uint8_t>> whole_;
};

Result<bool> HfFolderSource::advance() {
  switch (stage_) {
    case Stage::kConfig:
      FSV_TRY(read_config());
      stage_ = Stage::kIndex;
      return false;
    case Stage::kIndex:
      FSV_TRY(list_shards());
      stage_ = Stage::kShards;
      return false;
    case Stage::kShards:
      FSV_TRY(open_next_shard());
      if (files_.size() == shards_.size()) stage_ = Stage::kTables;
      return false;
    case Stage::kTables:
      FSV_TRY(finish());
      return true;
  }
  return true;
}

Status HfFolderSource::read_config() {
  const std::string path = path_of("config.json");
  FSV_ASSIGN(const std::string text,
             read_whole(*model_files_, path, kConfigBytesMax, &side_identities_.emplace_back()));
  identify_side_files();
  FSV_ASSIGN(const json::Document document, json::parse(text, fastserve::format("\"", path, "\"")));
  FSV_ASSIGN(model_, read_hf_config(document.root(), path));
  return read_chat_template();
}

// The files that say how text becomes tokens, where they are there.
void HfFolderSource::identify_side_files() {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "generation_config.json", "chat_template.jinja"}) {
    const auto file = model_files_->open(path_of(name));
    if (file.ok()) side_identities_.push_back((*file)->identity());
  }
}

// "chat_template.jinja", or the "chat_template" of tokenizer_config.json: text, or a list with one named "default".
Status HfFolderSource::read_chat_template() {
  MetaValue entry;
  entry.type = MetaType::kString;
  auto file = read_whole(*model_files_, path_of("chat_template.jinja"), kConfigBytesMax);
  if (file.ok()) {
    entry.string_value = file.take();
  } else {
    auto text = read_whole(*model_files_, path_of("tokenizer_config.json"), kConfigBytesMax);
    if (!text.ok()) return {};  // a model without a template
    FSV_ASSIGN(const json::Document document,
               json::parse(*text, fastserve::format("\"", path_of("tokenizer_config.json"), "\"")));
    json::Value value = document.root()["chat_template"];
    for (size_t i = 0; i < value.size(); ++i) {
      if (value.at(i)["name"].string() == "default") {
        value = value.at(i)["template"];
        break;
      }
    }
    if (!value.string().has_value()) return {};
    entry.string_value = *value.string();
  }
  model_.metadata.emplace_back("tokenizer.chat_template", std::move(entry));
  return {};
}

Status HfFolderSource::list_shards() {
  auto index = read_whole(*model_files_, path_of("model.safetensors.index.json"), kConfigBytesMax);
  if (!index.ok()) {
    if (index.status().code() != StatusCode::kNotFound) return index.status();
    shards_.emplace_back(kLoneShard);
    return {};
  }
  const std::string name = fastserve::format("\"", path_of("model.safetensors.index.json"), "\"");
  FSV_ASSIGN(const json::Document document, json::parse(*index, name));
  const json::Value map = document.root()["weight_map"];
  if (map.size() == 0) return Status(StatusCode::kCorrupt, fastserve::format(name, ": \"weight_map\" is missing"));
  std::map<std::string, bool, std::less<>> shards;  // in the order of their names
  for (size_t i = 0; i < map.size(); ++i) {
    const auto shard = map.at(i).string();
    if (!shard.has_value() || !is_plain_name(*shard)) {
      return Status(StatusCode::kCorrupt,
                    fastserve::format(name, ": tensor ", quoted_name(map.key(i)), " is not in a file of this folder"));
    }
    shards.emplace(*shard, true);
    if (shards.size() > kShardCountMax) return fail(StatusCode::kUnsupported, "has too many shards");
  }
  for (const auto& [shard, unused] : shards) shards_.push_back(shard);
  return {};
}

Status HfFolderSource::open_next_shard() {
  Status status = open_shard(shards_[files_.size()]);
  const bool has_torch_file = status.code() == StatusCode::kNotFound && shards_.size() == 1 &&
                              shards_[0] == kLoneShard && model_files_->open(path_of("pytorch_model.bin")).ok();
  if (!has_torch_file) return status;
  return fail(StatusCode::kUnsupported, "holds pytorch_model.bin; weights are read from safetensors files alone");
}

Status HfFolderSource::open_shard(std::string_view name) {
  FSV_ASSIGN(std::unique_ptr<os::File> file, model_files_->open(path_of(name)));
  FSV_ASSIGN(const std::vector<SafeTensor> tensors, parse_safetensors(*file, hf_name_ignored));
  const auto number = static_cast<uint32_t>(files_.size());
  files_.push_back(std::move(file));
  for (const SafeTensor& tensor : tensors) FSV_TRY(place_tensor(tensor, number));
  return {};
}

Status HfFolderSource::place_tensor(const SafeTensor& tensor, uint32_t file) {
  const auto found = hf_place(tensor.name, model_);
  const std::string_view last = std::string_view(tensor.name).substr(tensor.name.find_last_of('.') + 1);
  const bool head = tensor.name == "lm_head.weight" || tensor.name == "language_model.lm_head.weight";
  if (head && model_.tied_output) return {};
  if (!found.has_value()) {
    return fail(StatusCode::kUnsupported,
                fastserve::format("tensor ", quoted_name(tensor.name), " is not known of this architecture"));
  }
  const HfPlace& place = *found;
  if (!place.all_experts) return add_piece(place.name, place, tensor, {file, tensor.offset_bytes}, tensor.shape);
  // [experts][rows][cols], with gate and up rows in one tensor or apart.
  if (tensor.shape.size() != 3 || tensor.shape[0] != model_.expert_count ||
      (place.gate_and_up && tensor.shape[1] % 2 != 0)) {
    return fail(StatusCode::kCorrupt, fastserve::format("tensor ", quoted_name(tensor.name), " (", last, ") has no [",
                                                        model_.expert_count, "][rows][cols] shape"));
  }
  const uint64_t expert_bytes = tensor.size_bytes / model_.expert_count;
  const int64_t part_count = place.gate_and_up ? 2 : 1;
  const std::vector<int64_t> shape = {tensor.shape[1] / part_count, tensor.shape[2]};
  for (uint32_t expert = 0; expert < model_.expert_count; ++expert) {
    HfPlace slice = place;
    slice.expert = static_cast<int32_t>(expert);
    uint64_t offset = tensor.offset_bytes + expert * expert_bytes;
    FSV_TRY(add_piece(place.name, slice, tensor, {file, offset}, shape));
    if (!place.gate_and_up) continue;
    offset += expert_bytes / 2;
    std::string up = place.name;
    up.replace(up.find("ffn_gate"), 8, "ffn_up");
    FSV_TRY(add_piece(up, slice, tensor, {file, offset}, shape));
  }
  return {};
}

Status HfFolderSource::add_piece(const std::string& name, const HfPlace& place, const SafeTensor& tensor,
                                 const HfPiece& piece, std::vector<int64_t> shape) {
  const std::string what = fastserve::format("tensor ", quoted_name(tensor.name));
  const bool stacked = place.expert >= 0;
  if (stacked && shape.size() != 2) return fail(StatusCode::kCorrupt, what + " is no matrix");
  if (place.change == HfChange::kTranspose && shape.size() != 2) {
    return fail(StatusCode::kCorrupt, what + " is no matrix");
  }
  auto [entry, added] = gathered_.try_emplace(name);
  Gathered& gathered = entry->second;
  if (added) {
    gathered.stacked = stacked;
    gathered.shape = std::move(shape);
    gathered.tensor.source_type = tensor.type;
    gathered.tensor.pieces.resize(stacked ? model_.expert_count : 1, HfPiece{UINT32_MAX, 0});
  } else if (!stacked || gathered.tensor.source_type != tensor.type || gathered.shape != shape) {
    return fail(StatusCode::kCorrupt, what + " occurs twice, or differs in shape or type from its siblings");
  }
  HfPiece& slot = gathered.tensor.pieces[stacked ? static_cast<size_t>(place.expert) : 0];
  if (slot.file != UINT32_MAX) return fail(StatusCode::kCorrupt, what + " occurs twice");
  slot = piece;
  ++gathered.piece_count;
  if (!added) return {};

  HfTensor& made = gathered.tensor;
  made.change = place.change;
  made.heads = place.is_key ? model_.kv_head_count : model_.head_count;
  made.type = gathered.shape.size() < 2 ? DType::kF32 : made.source_type;
  int64_t elements = 1;
  for (int64_t dimension : gathered.shape) elements *= dimension;
  made.cols = gathered.shape.size() < 2 ? 1 : gathered.shape.back();
  made.rows = elements / made.cols;
  if (made.change == HfChange::kTranspose) std::swap(made.rows, made.cols);
  made.piece_bytes = static_cast<uint64_t>(row_bytes(made.source_type, elements));
  if (made.change == HfChange::kPairs && made.rows % (2 * int64_t{made.heads}) != 0) {
    return fail(StatusCode::kCorrupt,
                fastserve::format(what, " has ", made.rows, " rows, which do not divide into ", made.heads, " heads"));
  }
  return {};
}

Status HfFolderSource::finish() {
  std::vector<TensorInfo> tensors;
  for (DerivedTensor& derived : model_.derived) {
    TensorInfo info;
    info.name = derived.name;
    info.dimension_count = 1;
    info.dimensions[0] = static_cast<int64_t>(derived.values.size());
    info.size_bytes = derived.values.size() * sizeof(float);
    recipes_[derived.name].values = std::move(derived.values);
    tensors.push_back(std::move(info));
  }
  for (auto& [name, gathered] : gathered_) {
    HfTensor& made = gathered.tensor;
    if (gathered.piece_count != made.pieces.size()) {
      return fail(StatusCode::kCorrupt, fastserve::format("tensor ", quoted_name(name), " has ", gathered.piece_count,
                                                          " of ", made.pieces.size(), " experts"));
    }
    TensorInfo info;
    info.name = name;
    info.type = static_cast<uint32_t>(made.type);
    std::vector<int64_t> shape = gathered.shape;
    if (made.change == HfChange::kTranspose) std::swap(shape[0], shape[1]);
    if (gathered.stacked) shape.insert(shape.begin(), static_cast<int64_t>(made.pieces.size()));
    info.dimension_count = static_cast<uint32_t>(shape.size());
    for (size_t i = 0; i < shape.size(); ++i) info.dimensions[i] = shape[shape.size() - 1 - i];
    info.size_bytes = static_cast<uint64_t>(row_bytes(made.type, info.element_count()));
    info.part = made.pieces[0].file;
    info.offset_bytes = made.pieces[0].offset_bytes;
    tensors.push_back(std::move(info));
    recipes_[name] = std::move(made);
  }
  gathered_.clear();
  FSV_TRY(set_tables(std::move(model_.metadata), std::move(tensors)));
  if (!model_.tied_output && find_tensor("output.weight") == nullptr) {
    return fail(StatusCode::kCorrupt, "tensor \"lm_head.weight\" is missing");
  }
  return {};
}

Status HfFolderSource::read_part(const TensorInfo& tensor, uint64_t offset_bytes, uint8_t* destination,
                                 size_t size_bytes) {
  FSV_TRY(check_tensor_range(tensor, offset_bytes, size_bytes));
  const auto place = recipes_.find(tensor.name);
  const TensorInfo* own = find_tensor(tensor.name);
  if (place == recipes_.end() || own->size_bytes != tensor.size_bytes) {
    return Status(StatusCode::kInvalidArgument, "a tensor of another model");
  }
  if (!needs_whole(place->second)) return read_hf_rows(place->second, files_, offset_bytes, destination, size_bytes);
  if (offset_bytes == 0 && size_bytes == tensor.size_bytes) {  // as vectors are read: nothing is kept
    std::vector<uint8_t> bytes;
    FSV_TRY(read_hf_whole(place->second, files_, bytes));
    std::copy_n(bytes.data(), size_bytes, destination);
    return {};
  }
  FSV_ASSIGN(const auto whole, whole_tensor(tensor.name, place->second));
  std::copy_n(whole->data() + offset_bytes, size_bytes, destination);
  return {};
}

Result<std::shared_ptr<const std::vector<uint8_t>>> HfFolderSource::whole_tensor(const std::string& name,
                                                                                 const HfTensor& tensor) {
  const std::lock_guard lock(whole_mutex_);
  if (whole_name_ != name || whole_ == nullptr) {
    whole_ = nullptr;  // before the next one is made: one at a time in memory
    auto bytes = std::make_shared<std::vector<uint8_t>>();
    FSV_TRY(read_hf_whole(tensor, files_, *bytes));
    whole_ = std::move(bytes);
    whole_name_ = name;
  }
  return whole_;
}

class HfFolderOpening final : public SourceOpening {
 public:
  HfFolderOpening(std::shared_ptr<ModelFiles> files, std::string_view path)
      : source_(std::make_unique<HfFolderSource>(std::move(files), std::string(path))) {}
  Result<bool> step() override {
    return guarded([&] { return source_->advance(); });
  }
  std::unique_ptr<ModelSource> take() override { return std::move(source_); }

 private:
  std::unique_ptr<HfFolderSource> source_;
};

}  // namespace

std::unique_ptr<SourceOpening> begin_opening_hf_folder(std::shared_ptr<ModelFiles> files, std::string_view path) {
  return std::make_unique<HfFolderOpening>(std::move(files), path);
}

}  // namespace fastserve
