// The names of GGUF's "tokenizer.ggml.pre" and the patterns that their models' makers published with them.
#include <array>
#include <iterator>
#include <span>
#include <string_view>

#include "base/format.h"
#include "text/hf_classes.h"
#include "text/pre_tokenizer.h"
#include "text/split_pre_tokenizer.h"

namespace fastserve {
namespace {

// Contractions, and words in which case changes only from upper to lower.
#define FSV_CONTRACTIONS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define FSV_CASED_WORDS(suffix)                                                            \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)" suffix \
  R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)" suffix
#define FSV_SPACES R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define FSV_DEEPSEEK_WORDS \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)"
#define FSV_HAN_WORD(upper, lower)                                            \
  R"([^\r\n\p{L}\p{N}]?(?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]))" upper \
  R"((?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}]))" lower FSV_CONTRACTIONS "?"

constexpr std::string_view kDigitsOneToThree = R"(\p{N}{1,3})";
constexpr std::string_view kCjk = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kGpt4o =
    FSV_CASED_WORDS(FSV_CONTRACTIONS "?") R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" FSV_SPACES;
constexpr std::string_view kTekken = FSV_CASED_WORDS("") R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" FSV_SPACES;
constexpr std::string_view kDeepseekV3 = FSV_DEEPSEEK_WORDS R"([\r\n]*)" FSV_SPACES;
constexpr std::string_view kQwen35 =
    FSV_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" FSV_SPACES;
constexpr std::string_view kKimi = R"([\p{Han}]+|)" FSV_HAN_WORD("*", "+") "|" FSV_HAN_WORD(
    "+", "*") R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" FSV_SPACES;
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    FSV_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)" FSV_SPACES;
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kExaoneMoe = FSV_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
// Runs of white space in powers of two.
constexpr std::string_view kJais2 = FSV_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S))"
    R"(|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr std::string_view kTurkish = R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" FSV_SPACES;
constexpr std::string_view kYoutuCjk =
    "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kYoutu =
    FSV_CASED_WORDS(FSV_CONTRACTIONS "?") R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" FSV_SPACES;
// The letters of Latin, Greek, Cyrillic and a few more scripts that have case.
constexpr std::string_view kDeepseekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-)"
    R"(\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepseekCjk = "[一-龥ࠀ-一가-퟿]+";

enum class Base { kNone, kGpt2, kSmollm, kLlama3, kQwen2, kFalcon };

// Patterns one after another, each cutting what the ones before left; then the base's, then more patterns.
struct Recipe {
  std::string_view name;
  Base base = Base::kNone;
  PreTokenizerTraits traits = {};
  std::array<std::string_view, 5> patterns = {};
  std::array<std::string_view, 1> patterns_after = {};
};

constexpr PreTokenizerTraits kIgnoreMerges{.ignore_merges = true};
constexpr PreTokenizerTraits kCompose{.compose = true};

constexpr Recipe kRecipes[] = {
    {"", Base::kGpt2},
    {"default", Base::kGpt2},
    {"gpt-2", Base::kGpt2},
    {"phi-2", Base::kGpt2},
    {"jina-es", Base::kGpt2},
    {"jina-de", Base::kGpt2},
    {"jina-v1-en", Base::kGpt2},
    {"jina-v2-es", Base::kGpt2},
    {"jina-v2-de", Base::kGpt2},
    {"jina-v2-code", Base::kGpt2},
    {"roberta-bpe", Base::kGpt2},
    {"gigachat", Base::kGpt2},
    {"a.x-4.0", Base::kGpt2},
    {"mellum", Base::kGpt2},
    {"exaone4", Base::kGpt2},
    {"jais", Base::kGpt2},
    {"trillion", Base::kGpt2},
    {"granite-docling", Base::kGpt2},
    {"modern-bert", Base::kGpt2, kCompose},
    {"mpt", Base::kGpt2, kCompose},
    {"olmo", Base::kGpt2, kCompose},
    {"smollm", Base::kSmollm},
    {"starcoder", Base::kSmollm},
    {"refact", Base::kSmollm},
    {"command-r", Base::kSmollm, kCompose},
    {"codeshell", Base::kSmollm},
    {"exaone", Base::kSmollm},
    {"minerva-7b", Base::kSmollm},
    {"mellum2", Base::kSmollm},
    {"llama3", Base::kLlama3, kIgnoreMerges},
    {"llama-v3", Base::kLlama3, kIgnoreMerges},
    {"llama-bpe", Base::kLlama3, kIgnoreMerges},
    {"falcon3", Base::kLlama3, kIgnoreMerges},
    {"falcon-h1", Base::kLlama3, kIgnoreMerges},
    {"pixtral", Base::kLlama3, kIgnoreMerges},
    {"midm-2.0", Base::kLlama3, kIgnoreMerges},
    {"lfm2", Base::kLlama3, kIgnoreMerges},
    {"jina-v5-nano", Base::kLlama3, kIgnoreMerges},
    {"glm4", Base::kLlama3, kIgnoreMerges},
    {"glm5", Base::kLlama3, kIgnoreMerges},
    {"chatglm-bpe", Base::kLlama3},
    {"dbrx", Base::kLlama3},
    {"smaug-bpe", Base::kLlama3},
    {"qwen2", Base::kQwen2, kCompose},
    {"deepseek-r1-qwen", Base::kQwen2, kCompose},
    {"megrez", Base::kQwen2, kCompose},
    {"stablelm2", Base::kQwen2},
    {"hunyuan", Base::kQwen2},
    {"grok-2", Base::kQwen2},
    {"solar-open", Base::kQwen2},
    {"kormo", Base::kQwen2},
    {"f2llmv2", Base::kQwen2},
    {"laguna", Base::kQwen2, {}, {"[^\\n]+|[\\n]+"}},
    {"qwen35", Base::kNone, {}, {kQwen35}},
    {"gpt-4o", Base::kNone, {}, {kGpt4o}},
    {"llama4", Base::kNone, {}, {kGpt4o}},
    {"kanana2", Base::kNone, {}, {kGpt4o}},
    {"talkie", Base::kNone, {}, {kGpt4o}},
    {"minimax-m2", Base::kNone, {}, {kGpt4o}},
    {"granite-embed-multi-97m", Base::kNone, kIgnoreMerges, {kGpt4o}},
    {"tiny_aya", Base::kNone, {}, {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o}},
    {"cohere2moe", Base::kNone, {}, {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o}},
    {"tekken", Base::kNone, kIgnoreMerges, {kTekken}},
    {"deepseek-v3", Base::kNone, {}, {kDigitsOneToThree, kCjk, kDeepseekV3}},
    {"hunyuan-dense", Base::kNone, {}, {kDigitsOneToThree, kCjk, kDeepseekV3}},
    {"hy_v4", Base::kNone, {}, {kDigitsOneToThree, kCjk, kDeepseekV3}},
    {"joyai-llm", Base::kNone, {}, {kDigitsOneToThree, kCjk, kDeepseekV3}},
    {"deepseek-llm",
     Base::kNone,
     {},
     {"[\r\n]", kDeepseekLetters, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"(\s+$)", R"([一-龥ࠀ-一가-퟿]+|\p{N})"}},
    {"deepseek-coder", Base::kNone, {}, {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk, R"(\p{N})"}},
    {"falcon", Base::kFalcon, {}, {}, {"[0-9][0-9][0-9]"}},
    {"poro-chat", Base::kNone, {}, {kBloom}},
    {"bloom", Base::kNone, {}, {kBloom}},
    {"gpt3-finnish", Base::kNone, {}, {kBloom}},
    {"viking", Base::kNone, {}, {kBloom, R"(\p{N})"}},
    {"bailingmoe", Base::kNone, {}, {kBailing}},
    {"bailingmoe2", Base::kNone, {}, {kBailing}},
    {"llada-moe", Base::kNone, {}, {kBailing}},
    {"seed-coder", Base::kNone, {}, {kSeedCoder}},
    {"kimi-k2", Base::kNone, {}, {kKimi}},
    {"exaone-moe", Base::kNone, {}, {kExaoneMoe}},
    {"jais-2", Base::kNone, {}, {kJais2}},
    {"ufakzeka", Base::kNone, {}, {kTurkish}},
    {"youtu", Base::kNone, kIgnoreMerges, {kYoutuCjk, kYoutu}},
    {"minicpm5", Base::kLlama3, kIgnoreMerges, {kDigitsOneToThree}},
    {"superbpe", Base::kNone, {}, {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}},
};

#undef FSV_CONTRACTIONS
#undef FSV_CASED_WORDS
#undef FSV_SPACES
#undef FSV_DEEPSEEK_WORDS
#undef FSV_HAN_WORD

std::unique_ptr<PreTokenizer> create_base(Base base) {
  switch (base) {
    case Base::kGpt2:
      return create_gpt2_pre_tokenizer();
    case Base::kSmollm:
      return create_smollm_pre_tokenizer();
    case Base::kLlama3:
      return create_llama3_pre_tokenizer(3);
    case Base::kQwen2:
      return create_llama3_pre_tokenizer(1);
    case Base::kFalcon: {
      std::vector<std::unique_ptr<PreTokenizer>> steps;
      steps.push_back(
          create_split_pre_tokenizer(create_code_point_matcher(hf::is_punctuation), SplitBehavior::kContiguous, false));
      steps.push_back(create_gpt2_pre_tokenizer());
      return create_sequence_pre_tokenizer(std::move(steps));
    }
    case Base::kNone:
      break;
  }
  return nullptr;
}

Status add_patterns(std::span<const std::string_view> patterns, std::vector<std::unique_ptr<PreTokenizer>>& steps) {
  for (const std::string_view pattern : patterns) {
    if (pattern.empty()) continue;
    FSV_ASSIGN(Regex regex, Regex::compile(pattern));
    steps.push_back(
        create_split_pre_tokenizer(create_regex_matcher(std::move(regex)), SplitBehavior::kIsolated, false));
  }
  return {};
}

Result<NamedPreTokenizer> create_from(const Recipe& recipe) {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  FSV_TRY(add_patterns(recipe.patterns, steps));
  if (recipe.base != Base::kNone) steps.push_back(create_base(recipe.base));
  FSV_TRY(add_patterns(recipe.patterns_after, steps));
  NamedPreTokenizer named;
  named.traits = recipe.traits;
  named.splitter = steps.size() == 1 ? std::move(steps.front()) : create_sequence_pre_tokenizer(std::move(steps));
  return named;
}

}  // namespace

Result<NamedPreTokenizer> create_pre_tokenizer(std::string_view name) {
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == name) return create_from(recipe);
  }
  return Status(StatusCode::kUnsupported, format("unknown pre-tokenizer '", name, "'"));
}

std::vector<std::string_view> pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const Recipe& recipe : kRecipes) names.push_back(recipe.name);
  return names;
}

}  // namespace fastserve
