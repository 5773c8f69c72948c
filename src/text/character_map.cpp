// SentencePiece's compiled normalisation rules: a double-array trie of what to replace, and the texts to put there.
#include <utility>

#include "base/format.h"
#include "text/normalizer.h"

namespace fastserve {
namespace {

// One unit of a Darts double array.
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label_of(uint32_t unit) { return unit & ((1u << 31) | 0xFF); }
uint32_t value_of(uint32_t unit) { return unit & ((1u << 31) - 1); }

class CharacterMapNormalizer final : public Normalizer {
 public:
  CharacterMapNormalizer(std::vector<uint32_t> units, std::string texts, bool by_grapheme)
      : units_(std::move(units)), texts_(std::move(texts)), by_grapheme_(by_grapheme) {}

  Status apply(AlignedText& text, bool) const override {
    AlignedText out = text.like();
    out.text.reserve(text.text.size());
    if (by_grapheme_) {
      for (size_t start = 0; start < text.text.size();) start = apply_to_grapheme(text, start, out);
      text = std::move(out);
      return {};
    }
    for (size_t start = 0; start < text.text.size();) {
      const Rule rule = find_rule(std::string_view(text.text).substr(start), true);
      if (rule.size_bytes != 0) {
        out.append(rule.replacement, text.source(start, start + rule.size_bytes));
        start += rule.size_bytes;
      } else {
        const size_t end = start + unicode::read_valid(text.text.data() + start).size_bytes;
        out.append(text, start, end);
        start = end;
      }
    }
    text = std::move(out);
    return {};
  }

 private:
  struct Rule {
    size_t size_bytes = 0;  // 0: none applies
    std::string_view replacement;
  };

  // A cluster of less than six bytes is replaced as a whole by the shortest rule that it begins with; where none
  // applies, and in longer ones, each character by itself. Returns the cluster's end.
  size_t apply_to_grapheme(const AlignedText& text, size_t start, AlignedText& out) const {
    constexpr size_t kGraphemeBytesMax = 6;
    const std::string_view all = text.text;
    const size_t end = unicode::grapheme_end(all, start);
    const auto replace = [&](size_t from, size_t to) {
      const Rule rule = find_rule(all.substr(from, to - from), false);
      if (rule.size_bytes != 0) out.append(rule.replacement, text.source(from, to));
      return rule.size_bytes != 0;
    };
    if (end - start < kGraphemeBytesMax && replace(start, end)) return end;
    for (size_t at = start; at < end;) {
      const size_t next = at + unicode::read_valid(all.data() + at).size_bytes;
      if (!replace(at, next)) out.append(text, at, next);
      at = next;
    }
    return end;
  }

  // The longest or the shortest rule. Every step checks its bounds: the array comes from a file.
  Rule find_rule(std::string_view text, bool longest) const {
    Rule rule;
    size_t node = 0;
    node ^= offset_of(units_[0]);
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      node ^= byte;
      if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
      const uint32_t unit = units_[node];
      node ^= offset_of(unit);
      if (!has_leaf(unit)) continue;
      if (node >= units_.size()) break;
      const size_t at = value_of(units_[node]);
      if (at >= texts_.size()) continue;
      const std::string_view replacement(texts_.c_str() + at);
      rule = {i + 1, replacement};
      if (!longest) break;
    }
    return rule;
  }

  std::vector<uint32_t> units_;
  std::string texts_;
  bool by_grapheme_;
};

class CollapseSpacesNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    AlignedText out = text.like();
    size_t end = text.text.size();
    while (end > 0 && text.text[end - 1] == ' ') --end;
    for (size_t at = 0; at < end; ++at) {
      const bool space = text.text[at] == ' ';
      if (space && (out.text.empty() || out.text.back() == ' ')) continue;
      out.append(text, at, at + 1);
    }
    text = std::move(out);
    return {};
  }
};

class StripSpacesNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    if (!text.text.ends_with(' ')) return {};
    AlignedText out = text.like();
    out.append(text, 0, text.text.find_last_not_of(' ') + 1);
    text = std::move(out);
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<Normalizer>> create_character_map_normalizer(std::string_view compiled, bool by_grapheme) {
  const auto corrupt = [](const char* what) {
    return Status(StatusCode::kCorrupt, format("tokenizer: the character map ", what));
  };
  if (compiled.size() < 4) return corrupt("is too short");
  const auto read = [&](size_t at) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < 4; ++i) value |= static_cast<uint32_t>(static_cast<uint8_t>(compiled[at + i])) << (8 * i);
    return value;
  };
  const size_t size_bytes = read(0);
  if (size_bytes < 4 || size_bytes % 4 != 0 || size_bytes > compiled.size() - 4) return corrupt("has a wrong size");
  std::vector<uint32_t> units;
  units.reserve(size_bytes / 4);
  for (size_t at = 4; at < 4 + size_bytes; at += 4) units.push_back(read(at));
  std::string texts(compiled.substr(4 + size_bytes));
  if (unicode::valid_prefix_bytes(texts) != texts.size()) return corrupt("holds text that is not UTF-8");
  return std::unique_ptr<Normalizer>(
      std::make_unique<CharacterMapNormalizer>(std::move(units), std::move(texts), by_grapheme));
}

std::unique_ptr<Normalizer> create_collapse_spaces_normalizer() { return std::make_unique<CollapseSpacesNormalizer>(); }
std::unique_ptr<Normalizer> create_strip_spaces_normalizer() { return std::make_unique<StripSpacesNormalizer>(); }

}  // namespace fastserve
