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

// Work is bounded for a text as a whole: a match that needs more than a few steps takes them from a common budget.
constexpr uint32_t kMatchStepsFree = 1u << 10, kMatchStepsGrowth = 32;
constexpr uint64_t kMatchStepsMin = 1u << 18, kMatchStepsPerByte = 64;
constexpr uint32_t kHeapKibMax = 128u << 10;
constexpr size_t kPatternBytesMax = 1u << 16;

// White space as Oniguruma has it; PCRE2's \s holds U+180E besides.
constexpr std::string_view kWhiteSpace =
    "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";

// What \w means to Oniguruma: in Latin-1 the small figures and fractions too.
constexpr std::string_view kWordCharacters = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";

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

// An escape that means another thing to PCRE2, in its words; empty for all others. \S and \W inside a class stay, which
// differs in a few characters.
std::string rewritten_escape(char escaped, bool in_class) {
  const auto one_of = [&](std::string_view set) { return in_class ? std::string(set) : format("[", set, "]"); };
  if (escaped == 's') return one_of(kWhiteSpace);
  if (escaped == 'w') return one_of(kWordCharacters);
  if (escaped == 'h') return one_of("0-9A-Fa-f");
  if (in_class) return {};
  if (escaped == 'S') return format("[^", kWhiteSpace, "]");
  if (escaped == 'W') return format("[^", kWordCharacters, "]");
  const std::string word = format("[", kWordCharacters, "]");
  if (escaped == 'b') return format("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))");
  if (escaped == 'B') return format("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))");
  return {};
}

// "[:alpha:]" within a class.
std::string_view named_class(std::string_view name) {
  if (name == "[:alpha:]") return "\\p{Alphabetic}";
  if (name == "[:alnum:]") return "\\p{Alphabetic}\\p{Nd}";
  if (name == "[:word:]") return kWordCharacters;
  if (name == "[:space:]") return kWhiteSpace;
  return name;
}

// Rewrites escapes and scripts. Classes of classes are what PCRE2 does not know.
Result<std::string> translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (in_class && pattern.substr(i).starts_with("&&")) {
      return Status(StatusCode::kUnsupported, format("pattern '", pattern, "': '&&' in a class is not supported"));
    }
    if (in_class && pattern.substr(i).starts_with("[:")) {  // [:alpha:]
      const size_t end = pattern.find(":]", i + 2);
      if (end != std::string_view::npos) {
        out += named_class(pattern.substr(i, end + 2 - i));
        i = end + 1;
        continue;
      }
    }
    if (in_class && c == '[' && pattern.find(']', i) != pattern.rfind(']')) {
      return Status(StatusCode::kUnsupported, format("pattern '", pattern, "': a class in a class is not supported"));
    }
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (const std::string rewritten = rewritten_escape(escaped, in_class); !rewritten.empty()) {
        out += rewritten;
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
  FSV_ASSIGN(const std::string translated, translate(pattern));
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
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

namespace {

struct Budget {
  uint64_t steps = 0;
};

// One match; PCRE2's result. Steps beyond the free ones are paid for, in growing portions until it is settled.
int match_at(const pcre2_code* code, std::string_view text, size_t position, pcre2_match_data* data,
             pcre2_match_context* context, Budget& budget) {
  for (uint64_t steps = kMatchStepsFree;; steps *= kMatchStepsGrowth) {
    if (steps > kMatchStepsFree) {
      if (steps > budget.steps) return PCRE2_ERROR_MATCHLIMIT;
      budget.steps -= steps;
    }
    pcre2_set_match_limit(context, static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
    // The text was checked as a whole before; doing so at every match would take quadratic time.
    const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), position,
                                  PCRE2_NO_UTF_CHECK, data, context);
    if (found != PCRE2_ERROR_MATCHLIMIT) return found;
  }
}

}  // namespace

Status Regex::find_all(std::string_view text, std::vector<TextRange>& matches) const {
  const std::unique_ptr<pcre2_match_data, MatchFree> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, MatchFree> context(pcre2_match_context_create(nullptr));
  if (data == nullptr || context == nullptr) return Status::out_of_memory();
  Budget budget{kMatchStepsMin + kMatchStepsPerByte * text.size()};
  pcre2_set_heap_limit(context.get(), kHeapKibMax);
  size_t position = 0;
  while (position < text.size()) {
    const int found = match_at(code_->code, text, position, data.get(), context.get(), budget);
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
