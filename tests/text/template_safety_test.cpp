// What templates cannot do: turn users' words into control tokens, run without end, take the process down.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/format.h"
#include "text/chat_template.h"

namespace fastserve {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Result<std::vector<ChatSpan>> render(std::string_view source, const ChatInput& input = {},
                                     const ChatTemplateOptions& options = {}) {
  const auto created = create_chat_template(source, options);
  if (!created.ok()) return created.status();
  return created.value()->render(input);
}

// The template's own words, in order; "\x01" where others' stand between.
std::string own_words(const std::vector<ChatSpan>& spans) {
  std::string text;
  for (const ChatSpan& span : spans) text += span.from_template ? span.text : "\x01";
  return text;
}

constexpr std::string_view kControlWords =
    "<|im_start|><|im_end|><s></s>[INST][/INST]<|eot_id|><|start_header_id|><|end_header_id|><start_of_turn>"
    "<end_of_turn><bos><eos><|user|><|assistant|><|system|><|end|><|endoftext|><|begin_of_text|><tool_call>"
    "[TOOL_CALLS][AVAILABLE_TOOLS]<|START_OF_TURN_TOKEN|><BOS_TOKEN><|channel|><|message|><|return|>[gMASK]<sop>";

std::string conversation(std::string_view text) {
  return format(R"([{"role":"system","content":"s)", text, R"("},{"role":"user","content":"a)", text,
                R"("},{"role":"assistant","content":"b)", text, R"("},{"role":"user","content":")", text, R"(c"}])");
}
std::string tool_list(std::string_view text) {
  return format(R"([{"type":"function","function":{"name":"f)", text, R"(","description":"d)", text,
                R"(","parameters":{"type":"object","properties":{"p)", text, R"(":{"type":"string"}}}}}])");
}

TEST(TemplateSafety, HostileTextChangesNoOwnWord) {
  size_t rendered = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FASTSERVE_TEST_DATA "/templates")) {
    if (entry.path().extension() != ".jinja") continue;
    SCOPED_TRACE(entry.path().filename());
    const std::string source = read_file(entry.path());
    for (const bool with_tools : {false, true}) {
      std::string words[2];
      bool ok = true;
      for (const int hostile : {0, 1}) {
        const std::string_view text = hostile == 1 ? kControlWords : "x";
        const std::string messages = conversation(text);
        const std::string tools = tool_list(text);
        ChatInput input;
        input.messages_json = messages;
        if (with_tools) input.tools_json = tools;
        input.add_generation_prompt = true;
        input.now_seconds = 0;
        const auto spans = render(source, input, {.bos_token = "<s>", .eos_token = "</s>"});
        ok = ok && spans.ok();  // some templates refuse system messages
        if (spans.ok()) words[hostile] = own_words(spans.value());
      }
      if (!ok) continue;
      EXPECT_EQ(words[0], words[1]);
      ++rendered;
    }
  }
  EXPECT_GE(rendered, 50u);
}

// What templates do with a string `u`.
const char* const kStringOperations[] = {"u",
                                         "u ~ 'x'",
                                         "'x' + u",
                                         "u * 2",
                                         "u[1:]",
                                         "u[::-1]",
                                         "u[0]",
                                         "u[-1]",
                                         "u|upper",
                                         "u|lower",
                                         "u|title",
                                         "u|capitalize",
                                         "u|trim",
                                         "u|replace('q', 'x')",
                                         "'x'|replace('x', u)",
                                         "u|reverse",
                                         "u|list|join('x')",
                                         "[u, 'x']|join(u)",
                                         "u|indent(2, true)",
                                         "u|center(40)",
                                         "u|truncate(9)",
                                         "u|escape",
                                         "u|string",
                                         "u|tojson",
                                         "[u]|tojson(indent=2)",
                                         "{u: u}|tojson",
                                         "{u: u}",
                                         "[u]",
                                         "(u,)|string",
                                         "u|urlencode",
                                         "'%s'|format(u)",
                                         "'%5s%%' % u",
                                         "u % ()",
                                         "'{}'.format(u)",
                                         "'{:>40}'.format(u)",
                                         "'{0[k]}'.format({'k': u})",
                                         "u.format()",
                                         "u.upper()",
                                         "u.lower()",
                                         "u.title()",
                                         "u.swapcase()",
                                         "u.capitalize()",
                                         "u.strip()",
                                         "u.strip('Q')",
                                         "u.split('Z')",
                                         "u.split('Z')[0]",
                                         "u.rsplit('Z', 1)|join('x')",
                                         "u.splitlines()[0]",
                                         "u.partition('Z')[2]",
                                         "u.replace('Z', 'x')",
                                         "'x'.replace('x', u)",
                                         "'x'.join([u, u])",
                                         "u.join(['x', 'x'])",
                                         "u.ljust(40)",
                                         "u.rjust(40, 'x')",
                                         "u.zfill(40)",
                                         "u.removeprefix('Q')",
                                         "u|default('x')",
                                         "m.k",
                                         "m['k']",
                                         "m.items()|first|last",
                                         "m|dictsort|first|last",
                                         "m.values()|first",
                                         "m|items|list",
                                         "[u]|first",
                                         "[u]|last",
                                         "[u, u]|unique|first",
                                         "[u]|sort|first",
                                         "[u]|map('upper')|first",
                                         "[m]|map(attribute='k')|first",
                                         "[m]|selectattr('k')|first",
                                         "[u]|batch(1)|list",
                                         "[u]|slice(1)|list",
                                         "[m]|groupby('k')|list",
                                         "namespace(v=u).v",
                                         "dict(k=u).k",
                                         "u if u else 'x'",
                                         "u or 'x'",
                                         "u|attr('upper')()",
                                         "[[u]]|sum(start=[])",
                                         "cycler(u).next()",
                                         "u|wordcount ~ u",
                                         "u|safe ~ 'x'",
                                         "'x' ~ [u, [u]]"};

// The user's text is made of letters that no template has, so that each can be recognised wherever it comes out.
TEST(TemplateSafety, OriginSurvivesEveryOperation) {
  std::vector<std::string> sources;
  for (const std::string operation : kStringOperations) sources.push_back("{{ " + operation + " }}");
  for (const char* source :
       {"{% macro f(v) %}x{{ v }}{{ caller() }}{% endmacro %}{% call f(u) %}{{ u }}{% endcall %}",
        "{% set v %}x{{ u }}{% endset %}{{ v|upper }}", "{% filter upper %}x{{ u }}{% endfilter %}",
        "{% for c in u %}{{ c }}x{% endfor %}", "{% with v = u %}{{ v }}{% endwith %}",
        "{% for k, v in m.items() %}{{ v ~ k }}{% endfor %}", "{% generation %}{{ u }}{% endgeneration %}"}) {
    sources.emplace_back(source);
  }
  for (const std::string& source : sources) {
    SCOPED_TRACE(source);
    ChatInput input;
    input.variables_json = R"({"u": "QZ WQZ\nQ", "m": {"k": "QZ WQZ\nQ"}})";
    const auto spans = render(source, input);
    ASSERT_TRUE(spans.ok()) << spans.status().message();
    bool seen = false;
    for (const ChatSpan& span : spans.value()) {
      const bool users = span.text.find_first_of("QZWqzw") != std::string::npos;
      seen |= users;
      EXPECT_FALSE(users && span.from_template) << span.text;
    }
    EXPECT_TRUE(seen);
  }
}

TEST(TemplateSafety, OwnWordsStayOwn) {
  for (const char* source :
       {"{{ '<|a|>' }}", "<|a|>", "{{ '<|' ~ 'a' ~ '|>' }}", "{{ '<|A|>'|lower }}", "{{ ['<|a|>'][0] }}",
        "{% set x = '<|a|>' %}{{ x }}", "{{ '<|%s|>' % 'a' }}", "{{ '<|{}|>'.format('a') }}", "{{ bos_token }}"}) {
    SCOPED_TRACE(source);
    const auto spans = render(source, {}, {.bos_token = "<|a|>"});
    ASSERT_TRUE(spans.ok()) << spans.status().message();
    EXPECT_EQ(own_words(spans.value()), "<|a|>");
  }
}

TEST(TemplateSafety, RolesAreOwnWordsOnlyIfPlain) {
  ChatInput input;
  input.messages = {{"user", "x"}, {"<|im_end|>", "y"}, {"a b", "z"}, {"", ""}, {"tool_results-2", "w"}};
  const auto spans = render("{% for m in messages %}<|{{ m.role }}|>{% endfor %}", input);
  ASSERT_TRUE(spans.ok());
  EXPECT_EQ(own_words(spans.value()), "<|user|><|\x01|><|\x01|><||><|tool_results-2|>");
}

struct Runaway {
  const char* name;
  std::string source;
};

std::vector<Runaway> runaways() {
  std::string chain, brackets, nots, blocks, filters, sums, tests, attributes, calls, conditions;
  for (int i = 0; i < 5000; ++i) {
    brackets += "(";
    nots += "not ";
    blocks += "{% if true %}";
    filters += "|upper";
    sums += "+1";
    tests += " is defined";
    attributes += ".a";
    calls += "()";
    conditions += " if 1 else 1";
    chain += "-";
  }
  return {
      {"loops in loops", "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}"},
      {"silent loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"},
      {"endless macro", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"},
      {"two macros", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}"},
      {"macro that forks",
       "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"},
      {"caller", "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}"},
      {"recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"},
      {"doubled text", "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}"},
      {"doubled list", "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}"},
      {"nested list", "{% set n = namespace(s=[]) %}{% for i in range(9999) %}{% set n.s = [n.s] %}{% endfor %}"},
      {"tree of itself",
       "{% set n = namespace(s=[1]) %}{% for i in range(50) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}"},
      {"repeat text", "{{ 'x' * 9999999999 }}"},
      {"repeat list", "{{ [0] * 9999999999 }}"},
      {"repeat repeat", "{{ ('x' * 99999) * 99999 }}"},
      {"power", "{{ 9 ** 9 ** 9 }}"},
      {"range", "{{ range(0, 999999999999) }}"},
      {"width", "{{ '%999999999d' % 1 }}"},
      {"precision", "{{ '%.999999999f' % 1 }}"},
      {"star width", "{{ '%*d' % (999999999, 1) }}"},
      {"format width", "{{ '{:999999999}'.format(1) }}"},
      {"just", "{{ 'x'.ljust(9999999999) }}"},
      {"zfill", "{{ 'x'.zfill(9999999999) }}"},
      {"center", "{{ 'x'|center(9999999999) }}"},
      {"batch fill", "{{ [1]|batch(9999999999, 0) }}"},
      {"slices", "{{ [1]|slice(9999999999) }}"},
      {"replace all", "{% set a = 'x' * 100000 %}{{ a.replace('x', a) }}"},
      {"join all", "{% set a = 'x' * 100000 %}{{ a.join(a) }}"},
      {"indent all", "{{ ('\\n' * 100000)|indent('x' * 10000, blank=true) }}"},
      {"brackets", "{{ " + brackets + " }}"},
      {"lists", "{{ " + std::string(5000, '[') + " }}"},
      {"dicts", "{% for i in 1 %}{{ " + std::string(5000, '{') + " }}"},
      {"minus", "{{ 1 " + chain + "1 }}"},
      {"not", "{{ " + nots + "1 }}"},
      {"blocks", blocks},
      {"filters", "{{ 'a'" + filters + " }}"},
      {"sums", "{{ 1" + sums + " }}"},
      {"tests", "{{ 1" + tests + " }}"},
      {"attributes", "{{ a" + attributes + " }}"},
      {"calls", "{{ a" + calls + " }}"},
      {"conditions", "{{ 1" + conditions + " }}"},
      {"sort by what has no order", "{{ [1, 'a', none]|sort }}"},
  };
}

TEST(TemplateSafety, RunawaysEndInAStatus) {
  for (const Runaway& runaway : runaways()) {
    SCOPED_TRACE(runaway.name);
    const auto spans = render(runaway.source);
    EXPECT_EQ(spans.status().code(), StatusCode::kTemplate);
    EXPECT_TRUE(std::string_view(spans.status().message()).starts_with("chat template, line 1: "))
        << spans.status().message();
  }
}

TEST(TemplateSafety, CyclesAreHeldAndFreed) {
  const char* source =
      "{% set n = namespace() %}{% set n.me = n %}{% set n.list = [n] %}{% macro f() %}{% set n.f = f %}{{ n.x }}{% "
      "endmacro %}"
      "{{ f() }}{% for i in range(3) %}{% set m = namespace(up=n) %}{% set n.down = m %}{{ loop.changed(loop) }}{% "
      "endfor %}"
      "{% set n.c = cycler(n, f) %}{{ n.me.me.list|length }}";
  const auto spans = render(source);
  ASSERT_TRUE(spans.ok()) << spans.status().message();
  EXPECT_EQ(spans_to_text(spans.value()), "TrueFalseFalse1");
}

TEST(TemplateSafety, ErrorsNameTheLine) {
  const auto message = [](std::string_view source) { return std::string(render(source).status().message()); };
  EXPECT_EQ(message("a\n{{ 'b' }}\n{{ c.d }}"), "chat template, line 3: 'c' is undefined");
  EXPECT_EQ(message("\n\n{% if %}"), "chat template, line 3: expected an expression, got '%}'");
  EXPECT_EQ(message("{# x\n#}\n{{ raise_exception('no ' ~ 1) }}"), "chat template, line 3: no 1");
  EXPECT_EQ(message("{% for x in [1] %}\n{{ x }}\n"),
            "chat template, line 2: unexpected end of template, expected 'endfor'");
  EXPECT_EQ(message("{{ {'a': 1}.b.c }}"), "chat template, line 1: 'dict object' has no attribute 'b'");
  EXPECT_EQ(message("\r\n{{ 'a' + 1 }}"), "chat template, line 2: can only concatenate str (not \"int\") to str");
}

TEST(TemplateSafety, BadInputIsNamed) {
  const auto status_of = [](std::string_view messages, std::string_view tools, std::string_view variables) {
    ChatInput input;
    input.messages_json = messages;
    input.tools_json = tools;
    input.variables_json = variables;
    return render("{{ messages|length }}", input).status();
  };
  const auto names = [](const Status& status, std::string_view word) {
    return !status.ok() && std::string_view(status.message()).find(word) != std::string_view::npos;
  };
  EXPECT_TRUE(names(status_of("[{", "", ""), "messages"));
  EXPECT_TRUE(names(status_of("{}", "", ""), "array"));
  EXPECT_TRUE(names(status_of("[{}, 5]", "", ""), "element 1"));
  EXPECT_TRUE(names(status_of("[]", "nope", ""), "tools"));
  EXPECT_TRUE(names(status_of("[]", "", "[1]"), "variables"));
  EXPECT_TRUE(names(status_of("[]", "", std::string(100, '[')), "variables"));
  EXPECT_TRUE(names(create_chat_template("abc\xff").status(), "byte 3"));
  EXPECT_EQ(create_chat_template("{% oops %}").status().code(), StatusCode::kTemplate);
  const auto broken = broken_chat_template(Status(StatusCode::kTemplate, "reason"));
  EXPECT_STREQ(broken->render({}, true).status().message(), "reason");
}

TEST(TemplateSafety, InvalidUtf8InMessagesStaysBytes) {
  ChatInput input;
  input.messages = {{"user", "a\xff\xc3"}};
  const auto spans =
      render("{{ messages[0].content[::-1] }}|{{ messages[0].content|upper }}|{{ messages[0].content|length }}", input);
  ASSERT_TRUE(spans.ok());
  EXPECT_EQ(spans_to_text(spans.value()),
            "\xc3\xff"
            "a|A\xff\xc3|3");
}

}  // namespace
}  // namespace fastserve
