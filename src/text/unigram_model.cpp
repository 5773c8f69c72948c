// Viterbi over the tokens that begin at each character; they are found by narrowing a range of the sorted vocabulary.
#include "text/unigram_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "text/unicode.h"

namespace fastserve {
namespace {

constexpr double kUnknownPenalty = 10;  // below the worst score

class UnigramModel final : public TokenModel {
 public:
  // `sorted` are the tokens that are used, by their texts.
  UnigramModel(std::shared_ptr<const Vocabulary> vocabulary, std::vector<double> scores, UnigramOptions options,
               double worst, std::vector<int32_t> sorted)
      : vocabulary_(std::move(vocabulary)),
        scores_(std::move(scores)),
        options_(std::move(options)),
        unknown_score_(worst - kUnknownPenalty),
        sorted_(std::move(sorted)) {
    if (options_.single_precision) unknown_score_ = static_cast<float>(unknown_score_);  // it too decides ties
    size_t at = 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      first_[byte] = at;
      while (at < sorted_.size() && static_cast<uint8_t>(text_of(sorted_[at])[0]) == byte) ++at;
    }
    first_[256] = at;
  }

  void encode(std::string_view piece, ModelScratch& scratch, std::vector<ModelToken>& tokens) const override {
    using Step = ModelScratch::Step;
    std::vector<Step>& steps = scratch.steps;  // by the byte where a token ends
    steps.assign(piece.size() + 1, Step{0, 0, kUnreached});
    steps[0].id = kReached;
    for (size_t start = 0; start < piece.size();) {
      const uint32_t size = unicode::read_valid(piece.data() + start).size_bytes;
      const double score = steps[start].score;
      bool single = false;
      const auto offer = [&](size_t end, double token_score, int32_t id) {
        Step& step = steps[end];
        double total = score + token_score;
        if (options_.single_precision) total = static_cast<float>(total);
        if (step.id != kUnreached && total <= step.score) return;
        step = {total, static_cast<uint32_t>(start), id};
      };
      for_each_prefix(piece.substr(start), [&](size_t length, int32_t id) {
        offer(start + length, scores_[static_cast<size_t>(id)], id);
        single = single || length == size;
      });
      if (!single) offer(start + size, unknown_score_, kUnknown);
      start += size;
    }
    collect(piece, steps, tokens);
  }

 private:
  static constexpr int32_t kUnreached = -3, kReached = -2, kUnknown = -1;

  std::string_view text_of(int32_t id) const { return vocabulary_->texts[static_cast<size_t>(id)]; }

  // Calls found(length, id) for each token that `text` begins with, short ones first.
  template <typename Found>
  void for_each_prefix(std::string_view text, const Found& found) const {
    const size_t lead = static_cast<uint8_t>(text[0]);
    auto low = sorted_.begin() + static_cast<ptrdiff_t>(first_[lead]);
    auto high = sorted_.begin() + static_cast<ptrdiff_t>(first_[lead + 1]);
    for (size_t length = 1; low != high; ++length) {
      if (text_of(*low).size() == length) found(length, *low++);  // the shortest sorts first
      if (length == text.size()) return;
      // All of low..high begin with text[0..length) and are longer.
      const auto byte = static_cast<uint8_t>(text[length]);
      const auto byte_of = [&](int32_t id) { return static_cast<uint8_t>(text_of(id)[length]); };
      low = std::lower_bound(low, high, byte, [&](int32_t id, uint8_t value) { return byte_of(id) < value; });
      high = std::upper_bound(low, high, byte, [&](uint8_t value, int32_t id) { return value < byte_of(id); });
    }
  }

  // From the end back to the start, then turned round. Neighbouring unknown characters are one unknown.
  void collect(std::string_view piece, const std::vector<ModelScratch::Step>& steps,
               std::vector<ModelToken>& tokens) const {
    const size_t count_before = tokens.size();
    for (size_t end = piece.size(); end > 0;) {
      const ModelScratch::Step& step = steps[end];
      const auto from = step.start, to = static_cast<uint32_t>(end);
      if (step.id == kUnknown && tokens.size() > count_before && tokens.back().id == kUnknown) {
        tokens.back().start = from;
      } else {
        tokens.push_back({step.id, from, to});
      }
      end = from;
    }
    std::reverse(tokens.begin() + static_cast<ptrdiff_t>(count_before), tokens.end());
    const bool any = std::any_of(tokens.begin() + static_cast<ptrdiff_t>(count_before), tokens.end(),
                                 [](const ModelToken& token) { return token.id == kUnknown; });
    if (any) replace_unknown(piece, count_before, tokens);
  }

  void replace_unknown(std::string_view piece, size_t first, std::vector<ModelToken>& tokens) const {
    const std::vector<ModelToken> found(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end());
    tokens.resize(first);
    for (const ModelToken& token : found) {
      if (token.id != kUnknown) {
        tokens.push_back(token);
      } else if (has_bytes(piece.substr(token.start, token.end - token.start))) {
        for (uint32_t at = token.start; at < token.end; ++at) {
          tokens.push_back({options_.byte_ids[static_cast<uint8_t>(piece[at])], at, at + 1});
        }
      } else if (options_.unknown_id >= 0) {
        tokens.push_back({options_.unknown_id, token.start, token.end});
      }
    }
  }

  bool has_bytes(std::string_view bytes) const {
    if (options_.byte_ids.size() != 256) return false;
    return std::all_of(bytes.begin(), bytes.end(),
                       [&](char byte) { return options_.byte_ids[static_cast<uint8_t>(byte)] >= 0; });
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<double> scores_;
  UnigramOptions options_;
  double unknown_score_ = 0;
  std::vector<int32_t> sorted_;
  std::array<size_t, 257> first_{};
};

}  // namespace

UnigramBuilder::UnigramBuilder(std::shared_ptr<const Vocabulary> vocabulary, std::vector<double> scores,
                               UnigramOptions options)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      options_(std::move(options)),
      worst_(std::numeric_limits<double>::infinity()) {
  used_.reserve(scores_.size());
}

bool UnigramBuilder::step() {
  constexpr size_t kStepItems = 4096;
  if (sort_.has_value()) {
    if (!sort_->step()) return false;
    used_ = sort_->take();
    return true;
  }
  for (const size_t end = std::min(scores_.size(), looked_at_ + kStepItems); looked_at_ < end; ++looked_at_) {
    double& score = scores_[looked_at_];
    if (!std::isfinite(score)) score = 0;
    worst_ = std::min(worst_, score);
    const std::string_view text = vocabulary_->texts[looked_at_];
    const auto id = static_cast<int32_t>(looked_at_);
    if (!text.empty() && vocabulary_->index.find(text) == id) used_.push_back(id);
  }
  if (looked_at_ == scores_.size()) sort_.emplace(std::move(used_), Before{&vocabulary_->texts});
  return false;
}

std::unique_ptr<TokenModel> UnigramBuilder::finish() {
  return std::make_unique<UnigramModel>(std::move(vocabulary_), std::move(scores_), std::move(options_), worst_,
                                        std::move(used_));
}

}  // namespace fastserve
