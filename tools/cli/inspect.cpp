// fastserve inspect: what a model file holds, or what this machine can do.
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "console.h"
#include "json_writer.h"

namespace fastserve::cli {

namespace {

struct InspectOptions {
  std::string model;
  bool machine = false;
  uint32_t measure_ms = 0;
  bool all = false;
  bool plan = false;
  bool json = false;
};

std::string row(const std::string& name, const std::string& content) {
  return name + std::string(name.size() < 16 ? 16 - name.size() : 1, ' ') + content + "\n";
}

using JsonFunction = fsv_status (*)(const char*, size_t, char*, size_t, size_t*, fsv_error*);

std::string json_of(JsonFunction function, const std::string& path) {
  fsv_error error;
  size_t size = 0;
  check(function(path.data(), path.size(), nullptr, 0, &size, &error), error);
  std::string text(size, '\0');
  check(function(path.data(), path.size(), text.data(), text.size(), &size, &error), error);
  text.resize(size);
  return text;
}

// A JSON text laid out for reading: objects and arrays of objects open a level, arrays of numbers stay on their line.
std::string indented(std::string_view json) {
  std::string out;
  std::vector<bool> broken;  // for each open bracket: does it spread over lines
  bool quoted = false;
  const auto new_line = [&] { out += "\n" + std::string(broken.size() * 2, ' '); };
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      out += c;
      if (c == '\\' && i + 1 < json.size()) {
        out += json[++i];
      } else if (c == '"') {
        quoted = false;
      }
      continue;
    }
    const char next = i + 1 < json.size() ? json[i + 1] : '\0';
    if (c == '{' || c == '[') {
      out += c;
      broken.push_back((c == '{' && next != '}') || next == '{');
      if (broken.back()) new_line();
    } else if (c == '}' || c == ']') {
      const bool spread = !broken.empty() && broken.back();
      if (!broken.empty()) broken.pop_back();
      if (spread) new_line();
      out += c;
    } else if (c == ',') {
      out += c;
      if (!broken.empty() && broken.back()) {
        new_line();
      } else {
        out += ' ';
      }
    } else {
      quoted = c == '"';
      out += c;
      if (c == ':') out += ' ';
    }
  }
  return out + "\n";
}

std::string model_summary(const fsv_model_info& info) {
  std::string text = row("name", info.name) + row("architecture", info.architecture);
  text += row("runnable", info.runnable ? "yes" : std::string("no: ") + info.refusal);
  text += row("weights", std::string(info.weight_type) + ", " + bytes_text(info.weight_bytes) + " in " +
                             std::to_string(info.tensor_count) + " tensors");
  text += row("parameters", decimal(static_cast<double>(info.parameter_count) / 1e6, 1) + " million");
  text += row("file", bytes_text(info.file_bytes));
  text += row("layers", std::to_string(info.layer_count) + " of width " + std::to_string(info.embedding_size));
  text += row("attention", std::to_string(info.head_count) + " heads, " + std::to_string(info.kv_head_count) +
                               " for keys and values");
  text += row("context", std::to_string(info.context_tokens) + " tokens");
  text += row("tokenizer", std::string(info.tokenizer) + ", " + std::to_string(info.vocabulary_size) + " tokens");
  return text + row("chat template", info.has_chat_template ? "yes" : "no");
}

void write_ceilings(JsonWriter& out, const fsv_machine_ceilings& ceilings) {
  out.key("ceilings").begin_object().member("threads", ceilings.thread_count);
  out.member("read_bytes_per_second", ceilings.read_bytes_per_second);
  out.member("int8_ops_per_second", ceilings.int8_ops_per_second);
  out.member("bf16_ops_per_second", ceilings.bf16_ops_per_second);
  out.member("f32_ops_per_second", ceilings.f32_ops_per_second).end_object();
}

int inspect_machine(const InspectOptions& options) {
  fsv_error error;
  fsv_machine_info info;
  fsv_machine_info_init(&info, sizeof(info));
  check(fsv_machine_probe(&info, &error), error);
  fsv_machine_ceilings ceilings;
  fsv_machine_ceilings_init(&ceilings, sizeof(ceilings));
  if (options.measure_ms > 0) check(fsv_machine_measure(0, options.measure_ms, &ceilings, &error), error);
  if (options.json) {
    JsonWriter out;
    out.begin_object().member("cpu_name", info.cpu_name).member("cpu_features", info.cpu_features);
    out.member("kernels", info.kernels).member("logical_cpu_count", info.logical_cpu_count);
    out.member("usable_cpu_count", info.usable_cpu_count).member("l1d_bytes", info.l1d_bytes);
    out.member("l2_bytes", info.l2_bytes).member("l3_bytes", info.l3_bytes).member("memory_bytes", info.memory_bytes);
    if (options.measure_ms > 0) write_ceilings(out, ceilings);
    print(out.end_object().text() + "\n");
    return kExitOk;
  }
  std::string text = row("processor", info.cpu_name) + row("features", info.cpu_features);
  text += row("kernels", info.kernels);
  text +=
      row("processors", std::to_string(info.usable_cpu_count) + " usable of " + std::to_string(info.logical_cpu_count));
  text += row("caches", bytes_text(info.l1d_bytes) + " L1, " + bytes_text(info.l2_bytes) + " L2, " +
                            bytes_text(info.l3_bytes) + " L3");
  text += row("memory", bytes_text(info.memory_bytes));
  if (options.measure_ms > 0) {
    text += row("read", decimal(ceilings.read_bytes_per_second / 1e9, 1) + " GB/s");
    text += row("int8", decimal(ceilings.int8_ops_per_second / 1e12, 3) + " TOPS");
    text += row("bf16", decimal(ceilings.bf16_ops_per_second / 1e12, 3) + " TFLOPS");
    text += row("f32", decimal(ceilings.f32_ops_per_second / 1e12, 3) + " TFLOPS");
  }
  print(text);
  return kExitOk;
}

int inspect(const InspectOptions& options) {
  if (options.machine) return inspect_machine(options);
  if (options.json || options.all || options.plan) {
    const std::string text = json_of(options.plan ? fsv_model_plan_json : fsv_model_inspect_json, options.model);
    print(options.json ? text + "\n" : indented(text));
  } else {
    fsv_model_info info;
    fsv_model_info_init(&info, sizeof(info));
    fsv_error error;
    check(fsv_model_inspect(options.model.data(), options.model.size(), &info, &error), error);
    print(model_summary(info));
  }
  return kExitOk;
}

}  // namespace

void add_inspect(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = program.add_subcommand("inspect", "what a model file holds, or what this machine can do");
  CLI::Option* model = command->add_option("--model", options->model, "model file (GGUF); its weights are not read");
  CLI::Option* machine = command->add_flag("--machine", options->machine, "describe this machine instead");
  model->excludes(machine);
  command->add_option("--measure", options->measure_ms, "with --machine: measure its ceilings for this many ms")
      ->needs(machine);
  command->add_flag("--all", options->all, "every metadata key and tensor, laid out for reading")->excludes(machine);
  command->add_flag("--plan", options->plan, "which kernels of this machine serve which tensors")->excludes(machine);
  command->add_flag("--json", options->json, "one JSON object: every metadata key and tensor, or the plan");
  command->callback([options, model, machine, &invocation] {
    if (model->count() + machine->count() == 0) throw CLI::RequiredError("--model or --machine");
    invocation.json = options->json;
    invocation.action = [options] { return inspect(*options); };
  });
}

}  // namespace fastserve::cli
