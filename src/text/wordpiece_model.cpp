// Greedy longest match, bounded by the word's length.
#include "text/wordpiece_model.h"

#include <algorithm>
#include <utility>

#include "text/replace_all.h"

namespace fastserve {
namespace {

bool begins_code_point(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }

class WordPieceModel final : public TokenModel {
 public:
  WordPieceModel(std::shared_ptr<const Vocabulary> vocabulary, WordPieceOptions options)
      : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
    for (size_t id = 0; id < vocabulary_->texts.size(); ++id) {
      token_bytes_max_ = std::max(token_bytes_max_, vocabulary_->texts[id].size());
    }
  }

  void encode(std::string_view piece, ModelScratch&, std::vector<ModelToken>& tokens) const override {
    const size_t count_before = tokens.size();
    const auto characters = static_cast<size_t>(std::count_if(piece.begin(), piece.end(), begins_code_point));
    size_t start = 0;
    if (characters <= options_.word_characters_max) {
      while (start < piece.size()) {
        const ModelToken token = longest(piece, start);
        if (token.id < 0) break;
        tokens.push_back(token);
        start = token.end;
      }
    }
    if (start == piece.size()) return;
    tokens.resize(count_before);
    if (options_.unknown_id >= 0) tokens.push_back({options_.unknown_id, 0, static_cast<uint32_t>(piece.size())});
  }

 private:
  ModelToken longest(std::string_view piece, size_t start) const {
    std::string continued;
    size_t end = std::min(piece.size(), start + token_bytes_max_);
    for (; end > start; --end) {
      if (end < piece.size() && !begins_code_point(piece[end])) continue;
      std::string_view text = piece.substr(start, end - start);
      if (start > 0) {
        continued.assign(options_.continuing_prefix).append(text);
        text = continued;
      }
      if (const int32_t id = vocabulary_->index.find(text); id >= 0) {
        return {id, static_cast<uint32_t>(start), static_cast<uint32_t>(end)};
      }
    }
    return {};
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  WordPieceOptions options_;
  size_t token_bytes_max_ = 0;
};

class WordLevelModel final : public TokenModel {
 public:
  WordLevelModel(std::shared_ptr<const Vocabulary> vocabulary, int32_t unknown_id)
      : vocabulary_(std::move(vocabulary)), unknown_id_(unknown_id) {}

  void encode(std::string_view piece, ModelScratch&, std::vector<ModelToken>& tokens) const override {
    const int32_t found = vocabulary_->index.find(piece);
    const int32_t id = found >= 0 ? found : unknown_id_;
    if (id >= 0) tokens.push_back({id, 0, static_cast<uint32_t>(piece.size())});
  }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  int32_t unknown_id_;
};

}  // namespace

std::unique_ptr<TokenModel> create_wordpiece_model(std::shared_ptr<const Vocabulary> vocabulary,
                                                   WordPieceOptions options) {
  return std::make_unique<WordPieceModel>(std::move(vocabulary), std::move(options));
}

std::string wordpiece_text(std::string_view spaced_word) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  std::string text(spaced_word);
  for (const auto& [from, to] : kReplacements) text = replace_all(text, from, to);
  return text;
}

std::unique_ptr<TokenModel> create_word_level_model(std::shared_ptr<const Vocabulary> vocabulary, int32_t unknown_id) {
  return std::make_unique<WordLevelModel>(std::move(vocabulary), unknown_id);
}

}  // namespace fastserve
