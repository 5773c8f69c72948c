// A text on its way through a tokenizer, with where each of its bytes came from, if someone asked.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace fastserve {

struct AlignedText {
  std::string text;
  bool tracks = false;
  std::vector<TextRange> sources;  // one a byte of `text`, in bytes of the caller's text; empty unless `tracks`

  // An empty text that tracks like this one.
  AlignedText like() const {
    AlignedText out;
    out.tracks = tracks;
    return out;
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

  static AlignedText from(std::string_view text, size_t offset, bool tracks) {
    AlignedText out;
    out.text = text;
    out.tracks = tracks;
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
