// Each step rewrites one token; what concerns the joined text is kept apart for the stream decoder.
#include "text/hf_decoder.h"

#include <optional>

#include "base/format.h"
#include "text/byte_level.h"
#include "text/hf_components.h"
#include "text/replace_all.h"
#include "text/unicode.h"
#include "text/wordpiece_model.h"

namespace fastserve {
namespace {

constexpr size_t kGrowthMax = 64, kGrowthBytesMin = 256, kContentBytesMax = 4096;

// Up to `start` and `stop` characters `content` at the ends.
std::string_view stripped(std::string_view token, std::string_view content, size_t start, size_t stop) {
  for (; start > 0 && token.starts_with(content); --start) token.remove_prefix(content.size());
  for (; stop > 0 && token.ends_with(content); --stop) token.remove_suffix(content.size());
  return token;
}

}  // namespace

Result<HfDecoder> HfDecoder::read(const HfNode& node) {
  HfDecoder decoder;
  if (node.is_null()) {
    decoder.steps_.push_back({.kind = Kind::kSpaces});
  } else {
    FSV_TRY(decoder.add(node));
  }
  return decoder;
}

Status HfDecoder::add(const HfNode& node) {
  const std::string_view type = node.type();
  if (type == "Sequence") return add_sequence(node);
  if (type == "Fuse") {
    joined_ = true;
    return {};
  }
  if (type == "Strip") return add_strip(node);
  if (closed_) return node.unsupported(format("'", type.substr(0, 64), "' after a step for the text as a whole"));
  if (type == "Replace") return add_replace(node);
  const bool known = type == "ByteLevel" || type == "ByteFallback" || type == "Metaspace" || type == "WordPiece" ||
                     type == "BPEDecoder";
  if (!known) return node.unknown();
  if (joined_) return node.unsupported(format("'", type, "' on tokens that were joined"));
  if (type == "Metaspace") return add_metaspace(node);
  if (type == "ByteLevel") {
    steps_.push_back({.kind = Kind::kByteLevel});
    joined_ = true;
  } else if (type == "ByteFallback") {
    steps_.push_back({.kind = Kind::kByteFallback});
  } else if (type == "WordPiece") {
    FSV_ASSIGN(std::string prefix, node.text_or("prefix", "##"));
    FSV_ASSIGN(const bool cleanup, node.flag("cleanup", true));
    steps_.push_back({.kind = Kind::kWordPiece, .text = std::move(prefix), .flag = cleanup});
  } else {
    FSV_ASSIGN(std::string suffix, node.text_or("suffix", "</w>"));
    drops_last_space_ = !suffix.empty();
    steps_.push_back({.kind = Kind::kBpe, .text = std::move(suffix)});
    closed_ = true;
  }
  return {};
}

Status HfDecoder::add_sequence(const HfNode& node) {
  const HfNode list = node.member("decoders");
  if (!list.value().is_array()) return node.corrupt("\"decoders\" is no list");
  for (size_t i = 0; i < list.value().size(); ++i) FSV_TRY(add(list.element(i)));
  return {};
}

Status HfDecoder::add_metaspace(const HfNode& node) {
  FSV_ASSIGN(std::string mark, node.text("replacement"));
  FSV_ASSIGN(const std::string scheme, node.text_or("prepend_scheme", "always"));
  FSV_ASSIGN(const bool prefix, node.flag("add_prefix_space", true));
  steps_.push_back({.kind = Kind::kMetaspace, .text = std::move(mark), .flag = prefix && scheme != "never"});
  return {};
}

Status HfDecoder::add_strip(const HfNode& node) {
  FSV_ASSIGN(std::string content, node.text("content"));
  FSV_ASSIGN(const int64_t start, node.integer("start", 0));
  FSV_ASSIGN(const int64_t stop, node.integer("stop", 0));
  if (start < 0 || stop < 0 || start > INT32_MAX || stop > INT32_MAX) return node.corrupt("negative or huge counts");
  if (content.empty()) return node.corrupt("\"content\" is empty");
  if (!joined_) {
    steps_.push_back({.kind = Kind::kStrip,
                      .text = std::move(content),
                      .start = static_cast<size_t>(start),
                      .stop = static_cast<size_t>(stop)});
    return {};
  }
  if (stop != 0) return node.unsupported("stripping at the end of a whole text");
  if (content != " " || closed_) return node.unsupported("stripping a whole text of anything but spaces, once");
  leading_spaces_dropped_ = static_cast<int>(start);
  closed_ = true;
  return {};
}

Status HfDecoder::add_replace(const HfNode& node) {
  FSV_ASSIGN(std::string content, node.text("content"));
  if (content.size() > kContentBytesMax) return node.unsupported("content of more than 4096 bytes");
  FSV_ASSIGN(std::unique_ptr<Matcher> matcher, read_hf_pattern(node));
  const std::string_view literal = node.value()["pattern"]["String"].string().value_or("");
  const bool is_single = !literal.empty() && unicode::read_valid(literal.data()).size_bytes == literal.size();
  if (joined_ && !is_single) return node.unsupported("replacement of more than a character in a whole text");
  steps_.push_back({.kind = Kind::kReplace,
                    .text = std::string(literal),
                    .content = std::move(content),
                    .matcher = std::move(matcher)});
  return {};
}

bool HfDecoder::regards_first() const {
  for (const Step& step : steps_) {
    if (step.kind == Kind::kSpaces || step.kind == Kind::kWordPiece || (step.kind == Kind::kMetaspace && step.flag)) {
      return true;
    }
  }
  return false;
}

Result<std::string> HfDecoder::bytes_of(std::string_view token, bool is_first) const {
  std::string bytes(token);
  for (const Step& step : steps_) {
    FSV_ASSIGN(bytes, apply(step, std::move(bytes), is_first));
    if (bytes.size() > kGrowthMax * token.size() + kGrowthBytesMin) {
      return Status(StatusCode::kUnsupported, "tokenizer.json: decoder: makes tokens grow without end");
    }
  }
  return bytes;
}

Result<std::string> HfDecoder::apply(const Step& step, std::string token, bool is_first) {
  switch (step.kind) {
    case Kind::kSpaces:
      return is_first ? token : " " + token;
    case Kind::kByteLevel: {
      std::optional<std::string> bytes = byte_level_decode(token);
      return bytes.has_value() ? std::move(*bytes) : token;
    }
    case Kind::kByteFallback: {
      const int byte = byte_of_token(token);
      return byte >= 0 ? std::string(1, static_cast<char>(byte)) : token;
    }
    case Kind::kMetaspace:
      return replace_all(token, step.text, step.flag && is_first ? "" : " ");
    case Kind::kWordPiece:
      if (!is_first) token = token.starts_with(step.text) ? token.substr(step.text.size()) : " " + token;
      return step.flag ? wordpiece_text(token) : token;
    case Kind::kStrip:
      return std::string(stripped(token, step.text, step.start, step.stop));
    case Kind::kBpe:
      return replace_all(token, step.text, " ");
    case Kind::kReplace:
      break;
  }
  if (!step.text.empty()) return replace_all(token, step.text, step.content);
  if (unicode::valid_prefix_bytes(token) != token.size()) return token;
  std::vector<TextRange> matches;
  FSV_TRY(step.matcher->find_all(token, matches));
  std::string out;
  size_t start = 0;
  for (const TextRange& match : matches) {
    out.append(token, start, match.start - start).append(step.content);
    start = match.end;
  }
  return out.append(token, start);
}

}  // namespace fastserve
