// Writes llama.cpp's full f32 logits over windows of a text, for comparison with other engines: its own files for
// that purpose (llama-perplexity --kl-divergence-base) are rounded to 16 bits and cut off below exp(-16).
//   llama_logits MODEL TEXT CONTEXT WINDOWS THREADS REPACK OUT [EXACT]
// EXACT 1: keys and values in f32, no fused attention.
// Windows, BOS and scored half as in llama-perplexity. The format of OUT is described in bench/quality/logits_file.py.
#include <llama.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

struct Options {
  const char* model;
  const char* text;
  uint32_t context;
  uint32_t windows;
  int threads;
  bool repack;
  const char* out;
  bool exact;
};

std::vector<llama_token> tokens_of(const llama_vocab* vocab, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int count = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), tokens.data(),
                                   static_cast<int>(tokens.size()), true, false);
  tokens.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return tokens;
}

// The windows that fit, each with BOS in its first place where the model adds one.
std::vector<llama_token> cut_windows(const llama_vocab* vocab, const Options& options) {
  std::ifstream file(options.text, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<llama_token> tokens = tokens_of(vocab, text);
  if (tokens.size() < size_t{options.context} * options.windows) return {};
  tokens.resize(size_t{options.context} * options.windows);
  for (size_t at = 0; at < tokens.size() && llama_vocab_get_add_bos(vocab); at += options.context) {
    tokens[at] = llama_vocab_bos(vocab);
  }
  return tokens;
}

llama_context* make_context(llama_model* model, const Options& options) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.context;
  params.n_batch = options.context;
  params.n_ubatch = options.context < 512 ? options.context : 512;
  params.n_threads = params.n_threads_batch = options.threads;
  if (options.exact) {
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  }
  return llama_init_from_model(model, params);
}

bool write_window(llama_context* context, const llama_token* tokens, const Options& options, int vocabulary,
                  std::ofstream& out) {
  llama_memory_clear(llama_get_memory(context), true);
  llama_batch batch = llama_batch_init(static_cast<int>(options.context), 0, 1);
  batch.n_tokens = static_cast<int>(options.context);
  const uint32_t first = options.context / 2;
  for (uint32_t i = 0; i < options.context; ++i) {
    batch.token[i] = tokens[i];
    batch.pos[i] = static_cast<llama_pos>(i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = i >= first;
  }
  const bool decoded = llama_decode(context, batch) == 0;
  for (uint32_t i = first; decoded && i + 1 < options.context; ++i) {
    const float* row = llama_get_logits_ith(context, static_cast<int>(i));
    out.write(reinterpret_cast<const char*>(row), static_cast<std::streamsize>(sizeof(float)) * vocabulary);
  }
  llama_batch_free(batch);
  return decoded && out.good();
}

int run(const Options& options) {
  llama_backend_init();
  llama_model_params params = llama_model_default_params();
  params.use_extra_bufts = options.repack;
  llama_model* model = llama_model_load_from_file(options.model, params);
  if (!model) return 1;
  const llama_vocab* vocab = llama_model_get_vocab(model);
  const int vocabulary = llama_vocab_n_tokens(vocab);
  const std::vector<llama_token> tokens = cut_windows(vocab, options);
  llama_context* context = make_context(model, options);
  if (tokens.empty() || !context) {
    std::fprintf(stderr, tokens.empty() ? "the text is too short\n" : "no context\n");
    return 1;
  }
  std::ofstream out(options.out, std::ios::binary);
  const uint32_t header[] = {1, options.context, options.context / 2, static_cast<uint32_t>(vocabulary),
                             options.windows};
  out.write("fsvlogit", 8);
  out.write(reinterpret_cast<const char*>(header), sizeof header);
  out.write(reinterpret_cast<const char*>(tokens.data()),
            static_cast<std::streamsize>(tokens.size() * sizeof(int32_t)));
  bool good = out.good();
  for (uint32_t w = 0; good && w < options.windows; ++w) {
    good = write_window(context, tokens.data() + size_t{w} * options.context, options, vocabulary, out);
  }
  llama_free(context);
  llama_model_free(model);
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8 && argc != 9) {
    std::fprintf(stderr, "usage: llama_logits MODEL TEXT CONTEXT WINDOWS THREADS REPACK OUT [EXACT]\n");
    return 2;
  }
  return run({argv[1], argv[2], static_cast<uint32_t>(std::atoi(argv[3])), static_cast<uint32_t>(std::atoi(argv[4])),
              std::atoi(argv[5]), argv[6][0] == '1', argv[7], argc == 9 && argv[8][0] == '1'});
}
