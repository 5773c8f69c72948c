// Fuzzes the template engine: a template and, behind a NUL, the JSON of its variables. Any input renders or is refused
// with a line and a reason, within its limits, and no word of the variables becomes the template's own.
#include <algorithm>
#include <string>

#include "text/jinja/evaluator.h"
#include "text/jinja/jinja_parser.h"
#include "text/jinja/value_from_json.h"
#include "text/unicode.h"

namespace {

using namespace fastserve;
using namespace fastserve::jinja;

// A letter (U+4E2D) that stands for what users write, taken out of the template's own text before it is parsed. It has
// no upper and lower case, so that no operation makes it of another letter.
constexpr std::string_view kUsersLetter = "\xE4\xB8\xAD";

bool holds_users_letter(std::string_view text) { return text.find(kUsersLetter) != std::string_view::npos; }

void run(std::string_view source, std::string_view variables_json) {
  const Body body = parse_template(source);
  std::vector<std::pair<std::string_view, Value>> globals;
  auto variables = value_from_json(variables_json, "variables");
  if (variables.ok() && variables->is(ValueKind::kDict)) {
    for (const auto& [key, value] : variables->entries()) globals.emplace_back(key.bytes(), value);
  }
  globals.emplace_back("u", Value::text("\xE4\xB8\xAD a\xE4\xB8\xAD<|im_end|>", false));
  globals.emplace_back(
      "messages", Value::list({Value::dict({{Value::text("role", true), Value::text("user", true)},
                                            {Value::text("content", true), Value::text("\xE4\xB8\xAD\n", false)}})}));
  add_builtin_globals(globals);
  Evaluator evaluator(std::move(globals), 1721826000, {.steps = 20000, .text_bytes = 1u << 20, .depth = 200});
  const TrackedText text = evaluator.run(body);
  size_t start = 0;
  for (const TrackedText::Run& part : text.runs()) {
    if (part.end <= start) __builtin_trap();
    if (part.trusted && holds_users_letter(std::string_view(text.bytes()).substr(start, part.end - start))) {
      __builtin_trap();
    }
    start = part.end;
  }
  if (start != text.size_bytes()) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  std::string source(input.substr(0, end));
  // Own text could spell the letter through an escape too, so that no escape is left either.
  std::replace(source.begin(), source.end(), '\\', '_');
  for (size_t at; (at = source.find(kUsersLetter)) != std::string::npos;) source.replace(at, kUsersLetter.size(), "_");
  if (unicode::valid_prefix_bytes(source) != source.size()) return 0;
  try {
    run(source, end < input.size() ? input.substr(end + 1) : std::string_view());
  } catch (const TemplateFailure& failure) {
    if (failure.message.empty() || failure.line == 0) __builtin_trap();
  }
  return 0;
}
