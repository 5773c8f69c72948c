// Normal forms, replacement, prefix, and sequences of normalisers.
#include "text/normalizer.h"

#include <utility>

namespace fastserve {
namespace {

class FormNormalizer final : public Normalizer {
 public:
  explicit FormNormalizer(unicode::NormalForm form) : form_(form) {}

  Status apply(AlignedText& text, bool) const override {
    if (unicode::is_ascii(text.text)) return {};
    if (!text.tracks) {
      text.text = unicode::normalise(text.text, form_);
      return {};
    }
    // Stretches that cannot influence each other one by one; within one all bytes have the same source.
    AlignedText out = text.like();
    for (size_t start = 0; start < text.text.size();) {
      const size_t end = unicode::normalisation_end(text.text, start);
      const std::string_view part = std::string_view(text.text).substr(start, end - start);
      const std::string normal = unicode::normalise(part, form_);
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
  unicode::NormalForm form_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}

  Status apply(AlignedText& text, bool) const override {
    size_t found = from_.empty() ? std::string::npos : text.text.find(from_);
    if (found == std::string::npos) return {};
    AlignedText out = text.like();
    size_t start = 0;
    for (; found != std::string::npos; found = text.text.find(from_, start)) {
      out.append(text, start, found);
      start = found + from_.size();
      out.append(to_, text.source(found, start));
    }
    out.append(text, start, text.text.size());
    text = std::move(out);
    return {};
  }

 private:
  std::string from_, to_;
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
    for (const auto& step : steps_) FSV_TRY(step->apply(text, begins_text));
    return {};
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> create_form_normalizer(unicode::NormalForm form) {
  return std::make_unique<FormNormalizer>(form);
}
std::unique_ptr<Normalizer> create_replace_normalizer(std::string from, std::string to) {
  return std::make_unique<ReplaceNormalizer>(std::move(from), std::move(to));
}
std::unique_ptr<Normalizer> create_prepend_normalizer(std::string prefix) {
  return std::make_unique<PrependNormalizer>(std::move(prefix));
}
std::unique_ptr<Normalizer> create_sequence_normalizer(std::vector<std::unique_ptr<Normalizer>> steps) {
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

}  // namespace fastserve
