// fastserve models: what lies in the model folders, and whether this machine can run it.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "console.h"
#include "json_writer.h"
#include "model_folder.h"

namespace fastserve::cli {

namespace {

struct ModelsOptions {
  std::vector<std::string> folders{"build/models"};
  bool json = false;
};

struct Entry {
  std::string path{};
  fsv_status status = FSV_OK;  // of reading it
  std::string message{};
  fsv_model_info info{};
  uint64_t needed_bytes = 0;  // once loaded, with KV for one sequence of the default context; 0: it cannot run

  bool runs() const { return status == FSV_OK && info.runnable != 0; }
};

uint64_t available_bytes() {
  fsv_device_info device;
  fsv_device_info_init(&device, sizeof(device));
  fsv_error error;
  check(fsv_device_get_info(FSV_DEVICE_CPU, 0, &device, &error), error);
  return device.memory_available_bytes;
}

Entry examine(const std::string& path) {
  Entry entry{path};
  fsv_model_info_init(&entry.info, sizeof(entry.info));
  fsv_error error;
  entry.status = fsv_model_inspect(path.data(), path.size(), &entry.info, &error);
  if (entry.status != FSV_OK) entry.message.assign(error.message, error.message_size);
  if (!entry.runs()) return entry;
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = path.data();
  load.path_size = path.size();
  fsv_engine_config engine;
  fsv_engine_config_init(&engine, sizeof(engine));
  engine.max_sequences = 1;
  fsv_memory_estimate estimate;
  fsv_memory_estimate_init(&estimate, sizeof(estimate));
  entry.status = fsv_model_estimate(&load, &engine, &estimate, &error);
  if (entry.status != FSV_OK) entry.message.assign(error.message, error.message_size);
  entry.needed_bytes = estimate.total_bytes;
  return entry;
}

std::string millions(uint64_t parameters) {
  return decimal(static_cast<double>(parameters) / 1e6, parameters < 10'000'000 ? 2 : 0) + " M";
}

void write_table(const std::vector<Entry>& entries, uint64_t available) {
  std::vector<std::vector<std::string>> rows{
      {"MODEL", "FAMILY", "PARAMETERS", "TYPE", "SIZE", "CONTEXT", "NEEDS", "RUNS HERE"}};
  for (const Entry& entry : entries) {
    if (entry.status != FSV_OK) {
      rows.push_back({entry.path, "-", "-", "-", "-", "-", "-", "no: " + entry.message});
      continue;
    }
    const fsv_model_info& info = entry.info;
    std::string verdict = info.refusal;
    if (entry.runs()) verdict = entry.needed_bytes <= available ? "yes" : "no: memory";
    if (!entry.runs()) verdict = "no: " + verdict;
    rows.push_back({entry.path, info.architecture, millions(info.parameter_count), info.weight_type,
                    bytes_text(info.file_bytes), std::to_string(info.context_tokens),
                    entry.needed_bytes > 0 ? bytes_text(entry.needed_bytes) : "-", verdict});
  }
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) text += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    text += row.back() + "\n";
  }
  print(text + "memory available: " + bytes_text(available) + "\n");
}

void write_json(const std::vector<Entry>& entries, uint64_t available) {
  JsonWriter out;
  out.begin_object().member("memory_available_bytes", available).key("models").begin_array();
  for (const Entry& entry : entries) {
    out.begin_object().member("path", entry.path);
    if (entry.status != FSV_OK) {
      out.key("error").begin_object().member("status", fsv_status_name(entry.status));
      out.member("message", entry.message).end_object().end_object();
      continue;
    }
    const fsv_model_info& info = entry.info;
    out.member("name", info.name).member("family", info.architecture).member("weight_type", info.weight_type);
    out.member("parameter_count", info.parameter_count).member("file_bytes", info.file_bytes);
    out.member("weight_bytes", info.weight_bytes).member("context_tokens", info.context_tokens);
    out.member("runnable", info.runnable != 0).member("refusal", info.refusal);
    out.member("needed_bytes", entry.needed_bytes);
    out.member("fits", entry.runs() && entry.needed_bytes <= available).end_object();
  }
  print(out.end_array().end_object().text() + "\n");
}

int list_models(const ModelsOptions& options) {
  std::vector<Entry> entries;
  for (const std::string& folder : options.folders) {
    for (const std::string& path : find_models(folder)) entries.push_back(examine(path));
  }
  if (options.json) {
    write_json(entries, available_bytes());
  } else {
    write_table(entries, available_bytes());
  }
  return kExitOk;
}

}  // namespace

void add_models(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = program.add_subcommand("models", "what lies in the model folders, and whether it runs here");
  command->add_option("--dir", options->folders, "folder to look in (may be given several times)")
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_flag("--json", options->json, "one JSON object");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return list_models(*options); };
  });
}

}  // namespace fastserve::cli
