// Fuzzes tokenizer.json and texts: the file, a NUL, then text. What the file makes may not crash or hang; ids are in
// range, ranges lie in the text and in order, and what the ids stand for is UTF-8.
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/hf_tokenizer.h"
#include "text/unicode.h"

namespace {

using namespace fastserve;  // NOLINT(google-build-using-namespace)

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void check(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  std::vector<int32_t> ids, plain;
  std::vector<TextRange> ranges;
  const Status status = guarded([&] { return tokenizer.encode_ranges(text, options, ids, &ranges); });
  if (!status.ok()) {
    require(ids.empty() && ranges.empty() && std::strlen(status.message()) != 0);
    return;
  }
  require(ids.size() == ranges.size());
  size_t start = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < tokenizer.vocabulary_size());
    require(ranges[i].start <= ranges[i].end && ranges[i].end <= text.size() && ranges[i].start >= start);
    start = ranges[i].start;
  }
  require(tokenizer.encode(text, options, plain).ok() && plain == ids);
  const std::string decoded = decode(tokenizer, ids, false);
  require(unicode::valid_prefix_bytes(decoded) == decoded.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = end < size ? input.substr(end + 1) : std::string_view("Hello, world 12 \xC3\xA9\n");
  auto created = guarded([&]() -> Result<std::unique_ptr<Tokenizer>> {
    HfTokenizerLoader loader({.bos_token = "<s>", .eos_token = "</s>", .end_ids = {2}, .add_bos = 1});
    const std::string_view json = input.substr(0, end);
    FSV_TRY(loader.push(json.substr(0, json.size() / 2)));  // cut anywhere
    FSV_TRY(loader.push(json.substr(json.size() / 2)));
    for (bool done = false; !done;) {
      FSV_ASSIGN(done, loader.step());
    }
    return loader.take();
  });
  if (!created.ok()) {
    require(std::strlen(created.status().message()) != 0);
    return 0;
  }
  check(**created, text, {.add_bos_eos = true, .parse_special = true});
  check(**created, text, {});
  return 0;
}
