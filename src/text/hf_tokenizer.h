// A tokenizer from tokenizer.json and the small files beside it, made in steps of bounded length.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace fastserve {

// What the other files of a model's folder say about its tokens.
struct HfSettings {
  std::string bos_token, eos_token;  // by their texts; empty: none
  int32_t bos_id = -1, eos_id = -1;  // where there are no texts
  std::vector<int32_t> end_ids;      // of generation
  // Whether texts begin with BOS and end in EOS, where a file says so: -1 no, 1 yes, 0 as tokenizer.json has it.
  int add_bos = 0, add_eos = 0;
};

// tokenizer_config.json, special_tokens_map.json and generation_config.json, each empty where there is none. The ids
// given are those of config.json.
struct HfSettingsFiles {
  std::string tokenizer_config, special_tokens_map, generation_config;
  int32_t bos_id = -1, eos_id = -1;
  std::vector<int32_t> end_ids;
};
Result<HfSettings> read_hf_settings(const HfSettingsFiles& files);

class HfTokenizerLoader {
 public:
  explicit HfTokenizerLoader(HfSettings settings);
  ~HfTokenizerLoader();
  // The next piece of tokenizer.json, cut anywhere.
  Status push(std::string_view piece);
  // After the last piece: a bounded part of the work (some milliseconds). True when none is left.
  Result<bool> step();
  std::unique_ptr<Tokenizer> take();

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

// All at once. kUnsupported and kCorrupt name the component and its place.
Result<std::unique_ptr<Tokenizer>> create_tokenizer_from_json(std::string_view tokenizer_json, HfSettings settings);

}  // namespace fastserve
