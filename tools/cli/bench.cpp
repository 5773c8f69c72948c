// fastserve bench: prefill and decode speed for several numbers of streams, and the shares of the machine's ceilings.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench_load.h"
#include "commands.h"
#include "console.h"
#include "json_writer.h"
#include "roofline.h"
#include "synthetic_model.h"

namespace fastserve::cli {

namespace {

struct BenchOptions {
  EngineOptions engine;
  uint32_t prompt_tokens = 512;
  uint32_t decode_tokens = 128;
  std::vector<uint32_t> streams{1};
  uint32_t repeat = 3;
  std::string shape, dtype = "q8";  // of a synthetic model; no shape: a file
  bool roofline = false;
  bool json = false;
};

struct Result {
  uint32_t streams = 0;
  std::vector<double> prefill, decode;  // tokens per second, one sample a repetition
};

constexpr uint32_t kMeasureMs = 1000;

std::vector<Result> measure(EngineSession& session, const BenchOptions& options) {
  std::vector<Result> results;
  for (const uint32_t streams : options.streams) results.push_back({streams, {}, {}});
  const uint32_t warm_prompt = std::min(options.prompt_tokens, 64u), warm_decode = std::min(options.decode_tokens, 8u);
  if (warm_prompt > 0) measure_prefill(session, 1, warm_prompt);
  if (warm_decode > 0) measure_decode(session, 1, warm_decode);
  for (uint32_t round = 0; round < options.repeat; ++round) {  // rounds outside: drift hits every row alike
    for (Result& result : results) {
      if (options.prompt_tokens > 0) {
        result.prefill.push_back(measure_prefill(session, result.streams, options.prompt_tokens));
      }
      if (options.decode_tokens > 0) {
        result.decode.push_back(measure_decode(session, result.streams, options.decode_tokens));
      }
    }
  }
  return results;
}

// Does the model use its embedding table as output head? Seen in the list of tensors.
bool head_is_tied(const std::string& path) {
  size_t size = 0;
  if (fsv_model_inspect_json(path.data(), path.size(), nullptr, 0, &size, nullptr) != FSV_OK) return true;
  std::string text(size, '\0');
  if (fsv_model_inspect_json(path.data(), path.size(), text.data(), text.size(), &size, nullptr) != FSV_OK) return true;
  return text.find("\"output.weight\"") == std::string::npos;
}

void write_json(const BenchOptions& options, const EngineSession& session, const std::vector<Result>& results,
                const std::optional<Roofline>& roofline) {
  const auto speeds = [](JsonWriter& out, const Result& result) {
    out.member("prefill_tokens_per_second", median_of(result.prefill));
    out.member("decode_tokens_per_second", median_of(result.decode));
  };
  JsonWriter out;
  out.begin_object();
  speeds(out, results.front());
  out.member("model", options.shape.empty() ? options.engine.model : options.shape + "-" + options.dtype);
  out.member("device", options.engine.device).member("weight_type", session.info().weight_type);
  out.member("prompt_tokens", options.prompt_tokens).member("decode_tokens", options.decode_tokens);
  out.member("threads", options.engine.threads).member("repeat", options.repeat);
  out.member("load_ms", session.load_ms()).key("results").begin_array();
  for (const Result& result : results) {
    out.begin_object().member("streams", result.streams);
    speeds(out, result);
    out.member("prefill_samples", std::span<const double>(result.prefill));
    out.member("decode_samples", std::span<const double>(result.decode)).end_object();
  }
  out.end_array();
  if (roofline) {
    out.key("roofline").begin_object();
    out.member("read_bytes_per_second", roofline->ceilings.read_bytes_per_second);
    out.member("int8_ops_per_second", roofline->ceilings.int8_ops_per_second);
    out.member("bf16_ops_per_second", roofline->ceilings.bf16_ops_per_second);
    out.member("f32_ops_per_second", roofline->ceilings.f32_ops_per_second);
    out.member("decode_bandwidth_share", roofline->decode_bandwidth_share);
    out.member("prefill_int8_share", roofline->prefill_int8_share);
    out.member("prefill_bf16_share", roofline->prefill_bf16_share).end_object();
  }
  print(out.end_object().text() + "\n");
}

std::string column(const std::string& text, size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

void write_table(const BenchOptions& options, const std::vector<Result>& results,
                 const std::optional<Roofline>& roofline) {
  print("tokens per second, median of " + std::to_string(options.repeat) + "\n");
  print(column("streams", 8) + column("prefill " + std::to_string(options.prompt_tokens), 16) +
        column("decode " + std::to_string(options.decode_tokens), 16) + "\n");
  for (const Result& result : results) {
    print(column(std::to_string(result.streams), 8) + column(decimal(median_of(result.prefill), 1), 16) +
          column(decimal(median_of(result.decode), 1), 16) + "\n");
  }
  if (!roofline) return;
  print("read bandwidth " + decimal(roofline->ceilings.read_bytes_per_second / 1e9, 1) + " GB/s, decode reaches " +
        decimal(roofline->decode_bandwidth_share, 2) + " of it\n");
  print("int8 peak " + decimal(roofline->ceilings.int8_ops_per_second / 1e12, 3) + " TOPS, prefill reaches " +
        decimal(roofline->prefill_int8_share, 2) + " of it\n");
  if (roofline->ceilings.bf16_ops_per_second > 0) {
    print("bf16 peak " + decimal(roofline->ceilings.bf16_ops_per_second / 1e12, 3) + " TFLOPS, prefill reaches " +
          decimal(roofline->prefill_bf16_share, 2) + " of it\n");
  }
}

int bench(const BenchOptions& options) {
  EngineOptions engine = options.engine;
  engine.max_sequences = *std::max_element(options.streams.begin(), options.streams.end());
  if (engine.context == 0) engine.context = std::max(options.prompt_tokens, options.decode_tokens) + 2;
  if (engine.model.empty() == options.shape.empty()) {
    throw Failure(FSV_ERROR_INVALID_ARGUMENT, "bench wants either --model or --shape");
  }
  if (options.roofline && engine.device != "cpu") {
    throw Failure(FSV_ERROR_UNSUPPORTED, "--roofline measures the CPU's ceilings alone");
  }
  std::unique_ptr<SyntheticModel> synthetic;
  if (!options.shape.empty()) {
    synthetic = std::make_unique<SyntheticModel>(options.shape, options.dtype);
    engine.model = synthetic->name();
    engine.io = synthetic->io();
  }
  EngineSession session(engine);
  const std::vector<Result> results = measure(session, options);
  std::optional<Roofline> roofline;
  if (options.roofline) {
    fsv_machine_ceilings ceilings;
    fsv_machine_ceilings_init(&ceilings, sizeof(ceilings));
    fsv_error error;
    check(fsv_machine_measure(engine.threads, kMeasureMs, &ceilings, &error), error);
    const auto one = std::find_if(results.begin(), results.end(), [](const Result& r) { return r.streams == 1; });
    const Result& single = one == results.end() ? results.front() : *one;
    const bool is_tied = synthetic != nullptr ? synthetic->head_is_tied() : head_is_tied(engine.model);
    roofline = roofline_of(ceilings, session.info(), is_tied, median_of(single.prefill),
                           median_of(single.decode) / single.streams);
  }
  if (options.json) {
    write_json(options, session, results, roofline);
  } else {
    write_table(options, results, roofline);
  }
  return kExitOk;
}

}  // namespace

void add_bench(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = program.add_subcommand("bench", "prefill and decode speed");
  add_engine_options(*command, options->engine);
  command->get_option("--model")->required(false);
  command->add_option("--shape", options->shape, "instead of --model: made-up weights of a known model's shape")
      ->check(CLI::IsMember(synthetic_shapes()));
  command->add_option("--dtype", options->dtype, "type of their matrices")
      ->check(CLI::IsMember(synthetic_dtypes()))
      ->capture_default_str();
  command->add_option("--context", options->engine.context, "longest sequence in tokens; 0: as the test needs");
  command->add_option("--prompt-tokens", options->prompt_tokens, "length of a prompt; 0: measure no prefill")
      ->check(CLI::Range(0u, 1u << 20))
      ->capture_default_str();
  command->add_option("--decode-tokens", options->decode_tokens, "length of an answer; 0: measure no decode")
      ->check(CLI::Range(0u, 1u << 20))
      ->capture_default_str();
  command->add_option("--streams", options->streams, "requests at once, e.g. 1,8,32")
      ->delimiter(',')
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  command->add_option("--repeat", options->repeat, "repetitions; the median counts")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  command->add_flag("--roofline", options->roofline, "also measure the machine's ceilings and the shares reached");
  command->add_flag("--json", options->json, "one JSON object");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return bench(*options); };
  });
}

}  // namespace fastserve::cli
