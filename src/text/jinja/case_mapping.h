// Upper and lower case, and classes of characters, over tracked text.
#pragma once
#include "text/jinja/tracked_text.h"

namespace fastserve::jinja {

// kTitle is str.title: a capital at the beginning of every run of cased characters. kWords is Jinja's title filter: at
// the beginning and after white space, hyphens and opening brackets.
enum class CaseMapping { kUpper, kLower, kTitle, kCapitalize, kSwap, kWords };
TrackedText map_case(const TrackedText& text, CaseMapping mapping);

enum class TextClass { kDigit, kDecimal, kNumeric, kAlpha, kAlphanumeric, kSpace, kUpper, kLower };
// As Python's str.is...: false for the empty text.
bool has_class(const TrackedText& text, TextClass wanted);

}  // namespace fastserve::jinja
