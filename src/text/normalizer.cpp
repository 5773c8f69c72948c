// Normal forms, replacement, prefix, and sequences of normalisers.
#include "text/normalizer.h"

#include <utility>

#include "text/hf_classes.h"

namespace fastserve {
namespace {

class FormNormalizer final : public Normalizer {
 public:
  explicit FormNormalizer(unicode::NormalForm form) : form_(form) {}

  Status apply(AlignedText& text, bool) const override {
    if (unicode::is_ascii(text.text)) return {};
    if (!text.tracks && !holds_newer(text.text)) {
      text.text = unicode::normalise(text.text, form_);
      return {};
    }
    // Stretches that cannot influence each other one by one; within one all bytes have the same source.
    AlignedText out = text.like();
    for (size_t start = 0; start < text.text.size();) {
      const size_t end = unicode::normalisation_end(text.text, start);
      const std::string_view part = std::string_view(text.text).substr(start, end - start);
      const unicode::CodePoint first = unicode::read_valid(part.data());
      const size_t kept = hf::is_decomposable_since_unicode_12(first.value) ? first.size_bytes : 0;
      const std::string normal = std::string(part.substr(0, kept)) + unicode::normalise(part.substr(kept), form_);
      if (normal == part) {
        out.append(text, start, end);
      } else {
        out.append(normal, text.source(start, end));
      }
      start = end;
    }
    text = std::move(out);
    return {};
  }

 private:
  static bool holds_newer(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const unicode::CodePoint c = unicode::read_valid(text.data() + at);
      if (hf::is_decomposable_since_unicode_12(c.value)) return true;
      at += c.size_bytes;
    }
    return false;
  }

  unicode::NormalForm form_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(std::unique_ptr<Matcher> from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}

  Status apply(AlignedText& text, bool) const override {
    std::vector<TextRange> matches;
    FSV_TRY(from_->find_all(text.text, matches));
    if (matches.empty()) return {};
    AlignedText out = text.like();
    size_t start = 0;
    for (const TextRange& match : matches) {
      out.append(text, start, match.start);
      out.append(to_, text.source(match.start, match.end));
      start = match.end;
      FSV_TRY(out.check_size());
    }
    out.append(text, start, text.text.size());
    // To Hugging Face a text that stands for several characters takes the place of the last of them.
    const TextRange first = matches.front();
    if (first.start == 0 && first.end > 0 &&
        (to_.empty() || unicode::read_valid(text.text.data()).size_bytes < first.end)) {
      out.keeps_start = false;
    }
    text = std::move(out);
    return {};
  }

 private:
  std::unique_ptr<Matcher> from_;
  std::string to_;
};

class PrependNormalizer final : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}

  Status apply(AlignedText& text, bool) const override {
    if (text.text.empty()) return {};
    AlignedText out = text.like();
    out.append(prefix_, text.source(0, 0));
    out.append(text, 0, text.text.size());
    text = std::move(out);
    return {};
  }

 private:
  std::string prefix_;
};

class SequenceNormalizer final : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}

  Status apply(AlignedText& text, bool begins_text) const override {
    for (const auto& step : steps_) {
      FSV_TRY(step->apply(text, begins_text));
      FSV_TRY(text.check_size());
    }
    return {};
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> create_form_normalizer(unicode::NormalForm form) {
  return std::make_unique<FormNormalizer>(form);
}
std::unique_ptr<Normalizer> create_replace_normalizer(std::unique_ptr<Matcher> from, std::string to) {
  return std::make_unique<ReplaceNormalizer>(std::move(from), std::move(to));
}
std::unique_ptr<Normalizer> create_prepend_normalizer(std::string prefix) {
  return std::make_unique<PrependNormalizer>(std::move(prefix));
}
std::unique_ptr<Normalizer> create_sequence_normalizer(std::vector<std::unique_ptr<Normalizer>> steps) {
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

}  // namespace fastserve
