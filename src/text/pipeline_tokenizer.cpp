// Order of work: check the text, prefix, then added tokens and the stretches between them, suffix.
// Where several added tokens match, the leftmost and then the longest counts.
#include "text/pipeline_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/format.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

// Texts of tokens that end an answer whatever the metadata says, when they are control tokens.
constexpr std::string_view kEndTexts[] = {
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<turn|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|im_end|>",
    "<|end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
};

bool lies_within(std::span<const TextRange> ranges, size_t start, size_t end) {
  // The last range that begins at or before `start`.
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), start,
                                      [](size_t value, const TextRange& range) { return value < range.start; });
  return after != ranges.begin() && end <= after[-1].end;
}

// Letters, marks, numbers and connecting punctuation are parts of words.
bool is_word(uint32_t c) {
  const unicode::Category category = unicode::category(c);
  return unicode::is_letter(category) || unicode::is_mark(category) || unicode::is_number(category) ||
         category == unicode::Category::kPc;
}

uint32_t code_point_before(std::string_view text, size_t position) {
  size_t start = position - 1;
  while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
  return unicode::read_valid(text.data() + start).value;
}

bool stands_alone(std::string_view text, size_t start, size_t end) {
  if (start > 0 && is_word(code_point_before(text, start))) return false;
  return end >= text.size() || !is_word(unicode::read_valid(text.data() + end).value);
}

}  // namespace

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline) : pipeline_(std::move(pipeline)) {
    token_bytes_ = pipeline_.token_bytes;
    attributes_ = std::move(pipeline_.attributes);
    bos_id_ = pipeline_.bos_id;
    eos_id_ = pipeline_.eos_id;
    first_token_bytes_ = pipeline_.first_token_bytes;
    leading_spaces_dropped_ = pipeline_.leading_spaces_dropped;
    drops_last_space_ = pipeline_.drops_last_space;
  }

  // Makes the next added tokens known; after the last of them what ends an answer. True when nothing is left to do.
  bool prepare_part() {
    constexpr size_t kPartTokens = 512;
    const size_t end = std::min(pipeline_.added.size(), inserted_ + kPartTokens);
    for (; inserted_ < end; ++inserted_) insert_added(static_cast<int32_t>(inserted_));
    if (inserted_ < pipeline_.added.size()) return false;
    collect_end_of_generation();
    return true;
  }

  std::string_view name() const override { return pipeline_.name; }

  int32_t find_token(std::string_view text) const override {
    if (const int32_t added = raw_added_.find_exact(text); added >= 0) return token_of(added).id;
    if (const int32_t added = normalized_added_.find_exact(text); added >= 0) return token_of(added).id;
    return pipeline_.vocabulary->index.find(text);
  }

  Status encode_ranges(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids,
                       std::vector<TextRange>* ranges) const override {
    if (const size_t valid = unicode::valid_prefix_bytes(text); valid != text.size()) {
      return Status(StatusCode::kInvalidArgument, format("text is not valid UTF-8 at byte ", valid));
    }
    if (text.size() > INT32_MAX) return Status(StatusCode::kInvalidArgument, "text is longer than 2 GiB");
    const size_t ids_before = ids.size(), ranges_before = ranges != nullptr ? ranges->size() : 0;
    Encoding encoding{options, ids, ranges, {}, {}, {}};
    if (options.add_bos_eos) add_ids(encoding, pipeline_.prefix_ids, 0);
    Status status = encode_raw(encoding, text);
    if (!status.ok()) {
      ids.resize(ids_before);
      if (ranges != nullptr) ranges->resize(ranges_before);
      return status;
    }
    if (options.add_bos_eos) add_ids(encoding, pipeline_.suffix_ids, text.size());
    return {};
  }

 private:
  struct Encoding {
    const EncodeOptions& options;
    std::vector<int32_t>& ids;
    std::vector<TextRange>* ranges;
    PieceList list;
    ModelScratch scratch;
    std::vector<ModelToken> tokens;

    void add(int32_t id, TextRange range) {
      ids.push_back(id);
      if (ranges != nullptr) ranges->push_back(range);
    }
  };

  const AddedToken& token_of(int32_t added) const { return pipeline_.added[static_cast<size_t>(added)]; }

  // The tries hold indices into the list of added tokens.
  void insert_added(int32_t added) {
    const AddedToken& token = token_of(added);
    if (!token.normalized || pipeline_.normalizer == nullptr) {
      raw_added_.insert(token.text, added);
      return;
    }
    AlignedText text = AlignedText::from(token.text, 0, false);
    if (pipeline_.normalizer->apply(text, false).ok()) normalized_added_.insert(text.text, added);
  }

  // "<|end|>" stands between the parts of an answer in models that have other tokens for its end.
  void collect_end_of_generation() {
    const auto has = [&](std::string_view text) { return raw_added_.find_exact(text) >= 0; };
    const bool in_parts = (has("<|return|>") && has("<|call|>")) || (has("<|calls|>") && has("<|flush|>"));
    const auto mark = [&](int32_t id) {
      if (id < 0 || ends_generation(id)) return;
      attributes_[static_cast<size_t>(id)] |= kTokenEndOfGeneration;
      end_of_generation_ids_.push_back(id);
    };
    for (const AddedToken& token : pipeline_.added) {
      // Not user-defined ones: "</s>" is a tag of HTML to Gemma.
      if (!token.control || (in_parts && token.text == "<|end|>")) continue;
      if (std::find(std::begin(kEndTexts), std::end(kEndTexts), token.text) != std::end(kEndTexts)) mark(token.id);
    }
    mark(pipeline_.eos_id);
    mark(pipeline_.eot_id);
    for (const int32_t id : pipeline_.end_ids) mark(id);
    std::sort(end_of_generation_ids_.begin(), end_of_generation_ids_.end());
  }

  static void add_ids(Encoding& encoding, const std::vector<int32_t>& ids, size_t position) {
    for (const int32_t id : ids) encoding.add(id, {position, position});
  }

  bool is_wanted(const Encoding& encoding, const AddedToken& token, TextRange source) const {
    return !token.control || encoding.options.parse_special ||
           lies_within(encoding.options.special_ranges, source.start, source.end);
  }

  // White space beside a match that its token takes along.
  static TextRange widened(std::string_view text, const AddedToken& token, TextRange match, size_t from) {
    if (token.strips_left) {
      while (match.start > from && unicode::is_white_space(code_point_before(text, match.start))) {
        do --match.start;
        while ((static_cast<uint8_t>(text[match.start]) & 0xC0) == 0x80);
      }
    }
    while (token.strips_right && match.end < text.size()) {
      const unicode::CodePoint next = unicode::read_valid(text.data() + match.end);
      if (!unicode::is_white_space(next.value)) break;
      match.end += next.size_bytes;
    }
    return match;
  }

  // Added tokens that are looked for in the text as it is, and the stretches between them.
  Status encode_raw(Encoding& encoding, std::string_view text) const {
    for (size_t position = 0; position < text.size();) {
      const auto found = raw_added_.find(text, position, [&](const SpecialTokens::Match& match) {
        const AddedToken& token = token_of(match.id);
        const size_t end = match.start + match.size_bytes;
        return is_wanted(encoding, token, {match.start, end}) &&
               (!token.single_word || stands_alone(text, match.start, end));
      });
      TextRange match{text.size(), text.size()};
      if (found.id >= 0)
        match = widened(text, token_of(found.id), {found.start, found.start + found.size_bytes}, position);
      if (match.start > position) FSV_TRY(encode_stretch(encoding, text, position, match.start));
      if (found.id >= 0) encoding.add(token_of(found.id).id, match);
      position = match.end;
    }
    return {};
  }

  Status encode_stretch(Encoding& encoding, std::string_view text, size_t start, size_t end) const {
    AlignedText aligned = AlignedText::from(text.substr(start, end - start), start, encoding.ranges != nullptr);
    const bool begins_text = start == 0;
    if (pipeline_.normalizer != nullptr) FSV_TRY(pipeline_.normalizer->apply(aligned, begins_text));
    if (normalized_added_.empty()) return encode_plain(encoding, std::move(aligned), begins_text);
    const std::string_view normal = aligned.text;
    for (size_t position = 0; position < normal.size();) {
      const auto found = normalized_added_.find(normal, position, [&](const SpecialTokens::Match& match) {
        const AddedToken& token = token_of(match.id);
        const size_t match_end = match.start + match.size_bytes;
        return is_wanted(encoding, token, aligned.source(match.start, match_end)) &&
               (!token.single_word || stands_alone(normal, match.start, match_end));
      });
      TextRange match{normal.size(), normal.size()};
      if (found.id >= 0)
        match = widened(normal, token_of(found.id), {found.start, found.start + found.size_bytes}, position);
      if (match.start > position) {
        AlignedText part = aligned.like();
        part.append(aligned, position, match.start);
        FSV_TRY(encode_plain(encoding, std::move(part), begins_text && position == 0));
      }
      if (found.id >= 0) encoding.add(token_of(found.id).id, aligned.source(match.start, match.end));
      position = match.end;
    }
    return {};
  }

  Status encode_plain(Encoding& encoding, AlignedText text, bool begins_text) const {
    PieceList& list = encoding.list;
    list.text = std::move(text);
    list.begins_text = begins_text && list.text.keeps_start;
    list.pieces.assign(1, {0, list.text.text.size()});
    if (pipeline_.pre_tokenizer != nullptr) FSV_TRY(pipeline_.pre_tokenizer->apply(list));
    const std::string_view all = list.text.text;
    for (const TextRange& piece : list.pieces) {
      if (piece.start == piece.end) continue;
      encoding.tokens.clear();
      pipeline_.model->encode(all.substr(piece.start, piece.end - piece.start), encoding.scratch, encoding.tokens);
      for (const ModelToken& token : encoding.tokens) {
        encoding.ids.push_back(token.id);
        if (encoding.ranges == nullptr) continue;
        encoding.ranges->push_back(list.text.source(piece.start + token.start, piece.start + token.end));
      }
    }
    return {};
  }

  Pipeline pipeline_;
  SpecialTokens raw_added_, normalized_added_;
  size_t inserted_ = 0;  // of the added tokens
};

PipelineBuilder::PipelineBuilder(Pipeline pipeline)
    : tokenizer_(std::make_unique<PipelineTokenizer>(std::move(pipeline))) {}
PipelineBuilder::~PipelineBuilder() = default;
bool PipelineBuilder::step() { return tokenizer_->prepare_part(); }
std::unique_ptr<Tokenizer> PipelineBuilder::finish() { return std::move(tokenizer_); }

}  // namespace fastserve
