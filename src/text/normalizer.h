// Normalisers: what happens to a text before it is cut into pieces.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/aligned_text.h"
#include "text/matcher.h"
#include "text/unicode.h"

namespace fastserve {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `begins_text`: the stretch is where the caller's text begins.
  virtual Status apply(AlignedText& text, bool begins_text) const = 0;
};

std::unique_ptr<Normalizer> create_form_normalizer(unicode::NormalForm form);
std::unique_ptr<Normalizer> create_replace_normalizer(std::unique_ptr<Matcher> from, std::string to);
// Puts `prefix` before a stretch that is not empty.
std::unique_ptr<Normalizer> create_prepend_normalizer(std::string prefix);

// bert_normalizer.cpp
struct BertNormalizerOptions {
  bool clean_text = true;     // no control characters, all white space as spaces
  bool space_chinese = true;  // spaces around ideographs
  bool strip_accents = true;
  bool lowercase = true;
};
std::unique_ptr<Normalizer> create_bert_normalizer(const BertNormalizerOptions& options);
std::unique_ptr<Normalizer> create_lowercase_normalizer();
std::unique_ptr<Normalizer> create_strip_accents_normalizer();
std::unique_ptr<Normalizer> create_strip_normalizer(bool left, bool right);
// NMT's cleaning: some control characters go, white space and invisible characters become spaces.
std::unique_ptr<Normalizer> create_nmt_normalizer();
// Writes bytes as GPT-2's printable characters.
std::unique_ptr<Normalizer> create_byte_level_normalizer();

// character_map.cpp. SentencePiece applies the longest rule at each place; Hugging Face's `Precompiled` looks at whole
// grapheme clusters first (`by_grapheme`). kCorrupt when the rules do not hold together.
Result<std::unique_ptr<Normalizer>> create_character_map_normalizer(std::string_view compiled, bool by_grapheme);
// Runs of spaces count as one, none at the ends.
std::unique_ptr<Normalizer> create_collapse_spaces_normalizer();
// No spaces at the end.
std::unique_ptr<Normalizer> create_strip_spaces_normalizer();

std::unique_ptr<Normalizer> create_sequence_normalizer(std::vector<std::unique_ptr<Normalizer>> steps);

}  // namespace fastserve
