// Tokenizer: text <-> token ids, built from a model's metadata. Immutable after creation, used by any thread.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/string_table.h"

namespace fastserve {

enum TokenAttribute : uint32_t {
  kTokenControl = 1,
  kTokenByte = 2,
  kTokenUserDefined = 4,
  kTokenUnknown = 8,
  kTokenEndOfGeneration = 16,
};

struct TextRange {
  size_t start = 0, end = 0;  // bytes
};

struct EncodeOptions {
  bool add_bos_eos = false;    // as the model's metadata asks
  bool parse_special = false;  // recognise control tokens in the text
  // Recognise those that lie within one of these ranges; in order, without overlap.
  std::span<const TextRange> special_ranges = {};
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string_view name() const = 0;  // "gpt2/smollm"
  // Appends ids. Invalid UTF-8: kInvalidArgument with the byte offset.
  Status encode(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const {
    return encode_ranges(text, options, ids, nullptr);
  }
  // The same, and for each id the bytes of `text` that it stands for (none for tokens that were added).
  virtual Status encode_ranges(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids,
                               std::vector<TextRange>* ranges) const = 0;

  int32_t vocabulary_size() const { return static_cast<int32_t>(attributes_.size()); }
  // The bytes a token stands for; control tokens: their name. `id` must be in range.
  std::string_view token_bytes(int32_t id) const { return bytes_in(*token_bytes_, id); }
  uint32_t attributes(int32_t id) const { return attributes_[static_cast<size_t>(id)]; }
  bool ends_generation(int32_t id) const { return (attributes(id) & kTokenEndOfGeneration) != 0; }
  std::span<const int32_t> end_of_generation_ids() const { return end_of_generation_ids_; }
  int32_t bos_id() const { return bos_id_; }
  int32_t eos_id() const { return eos_id_; }
  // Id of the token whose text is exactly `text`, -1 if none.
  virtual int32_t find_token(std::string_view text) const = 0;
  // What a token stands for at the beginning of a text: BERT's words have no space before them there.
  std::string_view first_token_bytes(int32_t id) const {
    return bytes_in(first_token_bytes_ != nullptr ? *first_token_bytes_ : *token_bytes_, id);
  }
  // How many leading spaces decoding drops (1 for SentencePiece's dummy prefix), and whether it drops one at the end.
  int leading_spaces_dropped() const { return leading_spaces_dropped_; }
  bool drops_last_space() const { return drops_last_space_; }

  // Adds ids that stand for nothing up to `count`: models may have more embeddings than tokens.
  void pad_vocabulary(int32_t count) {
    if (count > vocabulary_size()) attributes_.resize(static_cast<size_t>(count), 0);
  }

 protected:
  static std::string_view bytes_in(const StringTable& table, int32_t id) {
    return static_cast<size_t>(id) < table.size() ? table[static_cast<size_t>(id)] : std::string_view();
  }

  std::shared_ptr<const StringTable> token_bytes_, first_token_bytes_;  // the second may be null: no difference
  std::vector<uint32_t> attributes_;
  std::vector<int32_t> end_of_generation_ids_;
  int32_t bos_id_ = -1, eos_id_ = -1;
  int leading_spaces_dropped_ = 0;
  bool drops_last_space_ = false;
};

// Decodes all at once (skip_special leaves control tokens out). Ids must be in range.
std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special);

// Incremental decoding: emits whole code points only; bytes that can never become valid UTF-8 come out as U+FFFD.
class StreamDecoder {
 public:
  StreamDecoder() = default;
  StreamDecoder(const Tokenizer* tokenizer, bool skip_special)
      : tokenizer_(tokenizer), skip_special_(skip_special), spaces_to_drop_(tokenizer->leading_spaces_dropped()) {}
  // Appends to `out` the text that `id` completes.
  void push(int32_t id, std::string& out);
  // Appends what is left (an incomplete code point becomes U+FFFD).
  void finish(std::string& out);

 private:
  const Tokenizer* tokenizer_ = nullptr;
  bool skip_special_ = true;
  bool at_start_ = true;
  int spaces_to_drop_ = 0;
  char pending_[4] = {};
  int pending_size_ = 0;
};

}  // namespace fastserve
