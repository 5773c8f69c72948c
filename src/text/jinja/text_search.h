// Splitting, replacing and padding of tracked text, shared by methods and filters.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/tracked_text.h"

namespace fastserve::jinja {

class Evaluator;

// Ranges between separators, at most `max_splits` of them if >= 0; by runs of white space where `separator` is null.
std::vector<ByteRange> split_ranges(std::string_view bytes, const std::string* separator, int64_t max_splits,
                                    bool from_right);

struct LineRange {
  size_t from, end, end_with_break;
};
// As str.splitlines.
std::vector<LineRange> line_ranges(std::string_view bytes);

TrackedText replace_text(Evaluator& evaluator, const TrackedText& text, const TrackedText& old_text,
                         const TrackedText& new_text, int64_t max_count);

enum class Alignment { kLeft, kRight, kCenter };
TrackedText pad_text(const TrackedText& text, int64_t width, const TrackedText& fill, Alignment alignment);

}  // namespace fastserve::jinja
