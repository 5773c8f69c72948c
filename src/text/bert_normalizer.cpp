// BERT's normaliser, and others that look at one character at a time: case, accents, white space at the ends, bytes.
#include <utf8proc.h>

#include <utility>

#include "text/byte_level.h"
#include "text/hf_classes.h"
#include "text/normalizer.h"

namespace fastserve {
namespace {

// Calls change(code_point, start, end, out) for each code point, which appends what it becomes.
template <typename Change>
void rewrite(AlignedText& text, const Change& change) {
  AlignedText out = text.like();
  out.text.reserve(text.text.size());
  for (size_t start = 0; start < text.text.size();) {
    const unicode::CodePoint c = unicode::read_valid(text.text.data() + start);
    const bool was_empty = out.text.empty();
    change(c.value, start, start + c.size_bytes, out);
    if (was_empty && start > 0 && !out.text.empty()) out.keeps_start = false;
    start += c.size_bytes;
  }
  text = std::move(out);
}

// Full lower case of single characters: U+0130 alone becomes two.
void append_lower(uint32_t c, const AlignedText& text, size_t start, size_t end, AlignedText& out) {
  const auto lower = static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  if (c == 0x130) {
    out.append("i\xCC\x87", text.source(start, end));
  } else if (lower == c) {
    out.append(text, start, end);
  } else {
    std::string bytes;
    unicode::append_utf8(lower, bytes);
    out.append(bytes, text.source(start, end));
  }
}

class LowercaseNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    rewrite(text,
            [&](uint32_t c, size_t start, size_t end, AlignedText& out) { append_lower(c, text, start, end, out); });
    return {};
  }
};

class StripAccentsNormalizer final : public Normalizer {
 public:
  explicit StripAccentsNormalizer(bool (*is_accent)(uint32_t)) : is_accent_(is_accent) {}
  Status apply(AlignedText& text, bool) const override {
    rewrite(text, [&](uint32_t c, size_t start, size_t end, AlignedText& out) {
      if (!is_accent_(c)) out.append(text, start, end);
    });
    return {};
  }

 private:
  bool (*is_accent_)(uint32_t);
};

class CleanTextNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    rewrite(text, [&](uint32_t c, size_t start, size_t end, AlignedText& out) {
      if (c == 0 || c == 0xFFFD || hf::is_control(c)) return;
      if (unicode::is_white_space(c)) {
        out.append(" ", text.source(start, end));
      } else {
        out.append(text, start, end);
      }
    });
    return {};
  }
};

class ChineseNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    rewrite(text, [&](uint32_t c, size_t start, size_t end, AlignedText& out) {
      const bool spaced = hf::is_chinese(c);
      if (spaced) out.append(" ", text.source(start, end));
      out.append(text, start, end);
      if (spaced) out.append(" ", text.source(start, end));
    });
    return {};
  }
};

class NmtNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    rewrite(text, [&](uint32_t c, size_t start, size_t end, AlignedText& out) {
      if (is_dropped(c)) return;
      if (becomes_space(c)) {
        out.append(" ", text.source(start, end));
      } else {
        out.append(text, start, end);
      }
    });
    return {};
  }

 private:
  static bool is_dropped(uint32_t c) {
    return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  }
  static bool becomes_space(uint32_t c) {
    return c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
           c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  }
};

class ByteLevelNormalizer final : public Normalizer {
 public:
  Status apply(AlignedText& text, bool) const override {
    AlignedText out = text.like();
    out.text.reserve(text.text.size() * 2);
    for (size_t at = 0; at < text.text.size(); ++at) append_byte_level(text, at, out);
    text = std::move(out);
    return {};
  }
};

class StripNormalizer final : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  Status apply(AlignedText& text, bool) const override {
    size_t first = text.text.size(), end = 0;
    for (size_t at = 0; at < text.text.size();) {
      const unicode::CodePoint c = unicode::read_valid(text.text.data() + at);
      if (!unicode::is_white_space(c.value)) {
        if (end == 0) first = at;
        end = at + c.size_bytes;
      }
      at += c.size_bytes;
    }
    if (!left_) first = 0;
    if (!right_) end = text.text.size();
    AlignedText out = text.like();
    if (first < end) out.append(text, first, end);
    if (first > 0) out.keeps_start = false;
    text = std::move(out);
    return {};
  }

 private:
  bool left_, right_;
};

}  // namespace

std::unique_ptr<Normalizer> create_lowercase_normalizer() { return std::make_unique<LowercaseNormalizer>(); }
std::unique_ptr<Normalizer> create_strip_accents_normalizer() {
  return std::make_unique<StripAccentsNormalizer>(hf::is_mark);
}
std::unique_ptr<Normalizer> create_strip_normalizer(bool left, bool right) {
  return std::make_unique<StripNormalizer>(left, right);
}

std::unique_ptr<Normalizer> create_nmt_normalizer() { return std::make_unique<NmtNormalizer>(); }
std::unique_ptr<Normalizer> create_byte_level_normalizer() { return std::make_unique<ByteLevelNormalizer>(); }

std::unique_ptr<Normalizer> create_bert_normalizer(const BertNormalizerOptions& options) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  if (options.clean_text) steps.push_back(std::make_unique<CleanTextNormalizer>());
  if (options.space_chinese) steps.push_back(std::make_unique<ChineseNormalizer>());
  if (options.strip_accents) {
    steps.push_back(create_form_normalizer(unicode::NormalForm::kNfd));
    steps.push_back(std::make_unique<StripAccentsNormalizer>(hf::is_nonspacing_mark));
  }
  if (options.lowercase) steps.push_back(create_lowercase_normalizer());
  return create_sequence_normalizer(std::move(steps));
}

}  // namespace fastserve
