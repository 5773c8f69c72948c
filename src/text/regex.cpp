// PCRE2 behind the small interface that pre-tokenisers need.
#include "text/regex.h"

#include <pcre2.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/format.h"
#include "text/unicode.h"

namespace fastserve {

struct Regex::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

namespace {

constexpr uint32_t kMatchStepsMin = 1u << 20, kMatchStepsPerByte = 64;
constexpr uint32_t kHeapKibMax = 128u << 10;
constexpr size_t kPatternBytesMax = 1u << 16;

// White space as Oniguruma has it; PCRE2's \s holds U+180E besides.
constexpr std::string_view kWhiteSpace =
    "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";

// Scripts by name; to PCRE2 the bare name also means characters that several scripts share.
constexpr std::string_view kScripts[] = {"Han",      "Hiragana", "Katakana",   "Hangul",  "Latin", "Greek",
                                         "Cyrillic", "Arabic",   "Hebrew",     "Thai",    "Lao",   "Khmer",
                                         "Myanmar",  "Tibetan",  "Devanagari", "Bengali", "Tamil", "Telugu"};

// Name in "{Name}" at the start of `text`, if it is one of a script.
bool begins_with_script(std::string_view text) {
  const size_t end = text.find('}');
  if (text.empty() || text[0] != '{' || end == std::string_view::npos) return false;
  return std::find(std::begin(kScripts), std::end(kScripts), text.substr(1, end - 1)) != std::end(kScripts);
}

// Rewrites \s, \S and scripts; other escapes mean the same to both. \S inside a class stays, which differs in U+180E
// alone.
std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        out += in_class ? std::string(kWhiteSpace) : format("[", kWhiteSpace, "]");
      } else if (escaped == 'S' && !in_class) {
        out += format("[^", kWhiteSpace, "]");
      } else {
        out += {c, escaped};
        if ((escaped == 'p' || escaped == 'P') && begins_with_script(pattern.substr(i + 1))) {
          out += "{sc:";
          ++i;
        }
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') {  // the first one is itself
        out += "\\]";
        ++i;
      }
      continue;
    }
    if (c == ']') in_class = false;
    if (c == '[') out += '\\';  // PCRE2 would look for [:name:]
    out += c;
  }
  return out;
}

struct MatchFree {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) return Status(StatusCode::kUnsupported, "a pattern is longer than 64 KiB");
  if (unicode::valid_prefix_bytes(pattern) != pattern.size()) {
    return Status(StatusCode::kCorrupt, "a pattern is not valid UTF-8");
  }
  const std::string translated = translate(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    if (error == PCRE2_ERROR_NOMEMORY) return Status::out_of_memory();
    PCRE2_UCHAR message[160] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return Status(StatusCode::kUnsupported,
                  format("pattern '", pattern, "': ", reinterpret_cast<const char*>(message), " near ", offset));
  }
  auto owner = std::make_shared<Code>();
  owner->code = code;
  Regex regex;
  regex.code_ = std::move(owner);
  regex.pattern_ = pattern;
  return regex;
}

Status Regex::find_all(std::string_view text, std::vector<TextRange>& matches) const {
  const std::unique_ptr<pcre2_match_data, MatchFree> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, MatchFree> context(pcre2_match_context_create(nullptr));
  if (data == nullptr || context == nullptr) return Status::out_of_memory();
  const uint64_t steps = kMatchStepsMin + uint64_t{kMatchStepsPerByte} * text.size();
  pcre2_set_match_limit(context.get(), static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
  pcre2_set_heap_limit(context.get(), kHeapKibMax);
  size_t position = 0;
  while (position < text.size()) {
    // The text was checked as a whole before; doing so at every match would take quadratic time.
    const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), position,
                                  PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found == PCRE2_ERROR_NOMEMORY) return Status::out_of_memory();
    if (found < 0) {
      return Status(StatusCode::kInvalidArgument,
                    format("pattern '", pattern_, "' takes too long on the text from byte ", position));
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
    // \K may put the start behind the end; such a match counts as empty.
    matches.push_back({std::min(ends[0], ends[1]), ends[1]});
    position = ends[1];
    if (ends[0] >= ends[1] && position < text.size())
      position += unicode::read_valid(text.data() + position).size_bytes;
  }
  return {};
}

}  // namespace fastserve
