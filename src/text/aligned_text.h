// A text on its way through a tokenizer, with where each of its bytes came from, if someone asked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace fastserve {

struct AlignedText {
  std::string text;
  bool tracks = false;
  bool keeps_start = true;         // nothing was dropped at the beginning
  size_t size_max = SIZE_MAX;      // what the text may grow to: a file's rules may double it again and again
  std::vector<TextRange> sources;  // one a byte of `text`, in bytes of the caller's text; empty unless `tracks`

  // An empty text that tracks like this one.
  AlignedText like() const {
    AlignedText out;
    out.tracks = tracks;
    out.size_max = size_max;
    out.keeps_start = keeps_start;
    return out;
  }
  Status check_size() const {
    if (text.size() <= size_max) return {};
    return Status::from_literal(StatusCode::kInvalidArgument, "the tokenizer's rules make the text grow without end");
  }
  void append(std::string_view bytes, TextRange source) {
    text.append(bytes);
    if (tracks) sources.insert(sources.end(), bytes.size(), source);
  }
  // Bytes start..end of `other` as they are.
  void append(const AlignedText& other, size_t start, size_t end) {
    text.append(other.text, start, end - start);
    if (!tracks) return;
    sources.insert(sources.end(), other.sources.begin() + static_cast<ptrdiff_t>(start),
                   other.sources.begin() + static_cast<ptrdiff_t>(end));
  }
  // What bytes start..end came from.
  TextRange source(size_t start, size_t end) const {
    if (!tracks || sources.empty()) return {};
    if (start >= end) {
      const size_t at = start < sources.size() ? sources[start].start : sources.back().end;
      return {at, at};
    }
    return {sources[start].start, sources[end - 1].end};
  }

  static constexpr size_t kGrowthMax = 64;
  static AlignedText from(std::string_view text, size_t offset, bool tracks) {
    AlignedText out;
    out.text = text;
    out.tracks = tracks;
    out.size_max = kGrowthMax * text.size() + (size_t{64} << 10);
    if (tracks) {
      out.sources.reserve(text.size());
      for (size_t i = 0; i < text.size(); ++i) out.sources.push_back({offset + i, offset + i + 1});
    }
    return out;
  }
};

// A stretch cut into pieces, in order and without overlap; what lies between them is left out.
struct PieceList {
  AlignedText text;
  std::vector<TextRange> pieces;
  bool begins_text = true;  // the stretch is where the caller's text begins
};

}  // namespace fastserve
