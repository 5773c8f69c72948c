// The C++ runner of bindings/conformance: one command a line in, one reply a line out. Built without exceptions and
// RTTI.
#include <cmath>
#include <fastserve.hpp>
#include <iostream>
#include <set>
#include <thread>
#include <utility>

#include "wire.h"

namespace {

std::map<std::string, fsv::Engine> engines;
std::map<std::string, fsv::Model> models;
std::map<std::string, fsv::Session> sessions;
std::map<std::string, fsv::Generation> streams;

using Reply = fsv::Result<Fields>;

Reply of(fsv::Result<fsv::Done> done) {
  if (!done) return done.error();
  return Fields{};
}

Reply open(const Fields& a) {
  fsv::EngineConfig config;
  config.thread_count = 1;
  const std::map<std::string, uint32_t*> settings = {{"mode", &config.mode},
                                                     {"context_tokens", &config.context_tokens},
                                                     {"max_sequences", &config.max_sequences},
                                                     {"memory_events", &config.memory_events},
                                                     {"thread_count", &config.thread_count}};
  for (const auto& [name, field] : settings) {
    if (a.count(name) != 0) *field = static_cast<uint32_t>(std::stoul(a.at(name)));
  }
  if (a.count("memory_budget_bytes") != 0) config.memory_budget_bytes = std::stoull(a.at("memory_budget_bytes"));
  if (a.count("write_folder") != 0) {
    config.write_folder = a.at("write_folder").data();
    config.write_folder_size = a.at("write_folder").size();
  }
  auto engine = fsv::Engine::create(config);
  if (!engine) return engine.error();
  engines.insert_or_assign(a.at("id"), std::move(*engine));
  return Fields{};
}

Reply load(const Fields& a) {
  std::vector<uint64_t> seen;
  uint64_t total = 0;
  fsv::LoadConfig config;
  if (a.count("flags") != 0) config.flags = static_cast<uint32_t>(std::stoul(a.at("flags")));
  const auto note = [&](uint64_t done, uint64_t all) {
    seen.push_back(done);
    total = all;
    return true;
  };
  auto model = engines.at(a.at("engine")).load(a.at("path"), note, config);
  if (!model) return model.error();
  models.insert_or_assign(a.at("id"), std::move(*model));
  const bool is_complete = total > 0 && seen.back() == total;
  return Fields{{"monotonic", std::is_sorted(seen.begin(), seen.end()) ? "1" : "0"},
                {"complete", is_complete ? "1" : "0"}};
}

fsv::GenerateOptions options_of(const Fields& a, fsv::Model& model) {
  fsv::GenerateOptions options;
  const auto number = [&](const char* name, auto& field) {
    if (a.count(name) != 0) field = static_cast<std::decay_t<decltype(field)>>(std::stod(a.at(name)));
  };
  number("max_tokens", options.max_tokens);
  number("ignore_eos", options.ignore_eos);
  number("context_full", options.context_full);
  number("choice_count", options.choice_count);
  number("speculation", options.speculation);
  number("priority", options.priority);
  if (a.count("temperature") + a.count("seed") + a.count("top_k") != 0) {
    if (auto sampling = model.default_sampling()) options.sampling_options = *sampling;
    number("temperature", options.sampling_options->temperature);
    number("seed", options.sampling_options->seed);
    number("top_k", options.sampling_options->top_k);
  }
  if (a.count("stop") != 0) options.stop = {a.at("stop")};
  if (a.count("session") != 0) options.session = sessions.at(a.at("session")).get();
  return options;
}

fsv::Result<fsv::Generation> begin(const Fields& a) {
  fsv::Model& model = models.at(a.at("model"));
  const fsv::GenerateOptions options = options_of(a, model);
  if (a.count("prompt") != 0) return model.generate(a.at("prompt"), options);
  if (a.count("prompt_ids") != 0) return model.generate(numbers(a.at("prompt_ids")), options);
  std::vector<fsv::Message> messages;
  if (a.count("system") != 0) messages.push_back({"system", a.at("system")});
  messages.push_back({"user", a.at("user")});
  if (a.count("then") != 0) {
    messages.push_back({"assistant", a.at("reply")});
    messages.push_back({"user", a.at("then")});
  }
  return model.chat(messages, options);
}

// The rest of a stream. What came before is kept by its name, so that the reply has the whole answer.
using Part = std::pair<std::string, std::vector<int32_t>>;
std::map<const fsv::Generation*, Part> parts;  // on the main thread alone

Reply finish(fsv::Generation& stream, Part before) {
  auto& [text, ids] = before;
  while (auto piece = stream.next()) {
    text += piece->text;
    ids.insert(ids.end(), piece->token_ids.begin(), piece->token_ids.end());
  }
  if (stream.error().status != FSV_OK) return stream.error();
  const fsv_event& end = stream.end()->numbers;
  const bool is_whole = text.find("\xEF\xBF\xBD") == std::string::npos;
  return Fields{{"text", text},
                {"ids", joined(ids)},
                {"finish", fsv_finish_reason_name(end.finish_reason)},
                {"prompt_tokens", std::to_string(end.prompt_token_count)},
                {"generated_tokens", std::to_string(end.generated_token_count)},
                {"cached_tokens", std::to_string(end.cached_token_count)},
                {"whole_code_points", is_whole ? "1" : "0"}};
}

Reply generate(const Fields& a) {
  auto stream = begin(a);
  if (!stream) return stream.error();
  return finish(*stream, {});
}

Reply start(const Fields& a) {
  auto stream = begin(a);
  if (!stream) return stream.error();
  streams.insert_or_assign(a.at("id"), std::move(*stream));
  return Fields{};
}

Reply next(const Fields& a) {
  fsv::Generation& stream = streams.at(a.at("stream"));
  auto piece = stream.next(a.count("timeout_us") != 0 ? std::stoull(a.at("timeout_us")) : fsv::kForever);
  if (stream.error().status != FSV_OK) return stream.error();
  if (piece) {
    auto& [text, ids] = parts[&stream];
    text += piece->text;
    ids.insert(ids.end(), piece->token_ids.begin(), piece->token_ids.end());
  }
  return Fields{{"end", piece ? "0" : "1"}};
}

Reply cancel_elsewhere(const Fields& a) {
  fsv::Generation& stream = streams.at(a.at("stream"));
  (void)next(a);
  std::thread thread([&] { stream.cancel(); });
  Reply reply = finish(stream, std::exchange(parts[&stream], {}));
  thread.join();
  return reply;
}

Reply concurrent(const Fields& a) {
  std::vector<std::string> texts(std::stoul(a.at("count")));
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      Reply reply = generate(a);
      text = reply ? (*reply)["text"] : reply.error().message;
    });
  }
  for (std::thread& thread : threads) thread.join();
  const bool are_same = std::set<std::string>(texts.begin(), texts.end()).size() == 1;
  return Fields{{"same", are_same ? "1" : "0"}, {"text", texts[0]}};
}

Reply info(const Fields& a) {
  auto info = models.at(a.at("model")).info();
  if (!info) return info.error();
  return Fields{{"architecture", info->architecture},
                {"name", info->name},
                {"vocabulary_size", std::to_string(info->vocabulary_size)}};
}

Reply text_of(fsv::Result<std::string> text) {
  if (!text) return text.error();
  return Fields{{"text", *text}};
}

Reply session(const Fields& a, fsv::Result<fsv::Session> made) {
  if (!made) return made.error();
  sessions.insert_or_assign(a.at("id"), std::move(*made));
  return Fields{};
}

Reply session_info(const Fields& a) {
  auto info = sessions.at(a.at("session")).info();
  if (!info) return info.error();
  auto ids = sessions.at(a.at("session")).token_ids();
  if (!ids) return ids.error();
  return Fields{{"tokens", std::to_string(info->token_count)},
                {"turns", std::to_string(info->turn_count)},
                {"ids", joined(*ids)}};
}

Reply stats(const Fields& a) {
  auto stats = engines.at(a.at("engine")).memory_stats();
  if (!stats) return stats.error();
  return Fields{{"models", std::to_string(stats->model_count)},
                {"used", std::to_string(stats->used_bytes)},
                {"sessions", std::to_string(stats->session_count)},
                {"weights", std::to_string(stats->weight_bytes)}};
}

Reply memory_event(const Fields& a) {
  const uint64_t timeout_us = a.count("timeout_us") != 0 ? std::stoull(a.at("timeout_us")) : fsv::kForever;
  auto event = engines.at(a.at("engine")).next_memory_event(timeout_us);
  if (!event) return event.error();
  return Fields{{"pressure", std::to_string(event->pressure)},
                {"used", std::to_string(event->used_bytes)},
                {"budget", std::to_string(event->budget_bytes)}};
}

Reply model_memory(const Fields& a) {
  auto memory = models.at(a.at("model")).memory();
  if (!memory) return memory.error();
  return Fields{{"state", std::to_string(memory->state)}};
}

Reply metrics(const Fields& a) {
  auto metrics = engines.at(a.at("engine")).metrics();
  if (!metrics) return metrics.error();
  return Fields{{"step_target", std::to_string(metrics->step_target_us)},
                {"submitted", std::to_string(metrics->submitted_requests)}};
}

Reply request_info(const Fields& a) {
  auto info = streams.at(a.at("stream")).info();
  if (!info) return info.error();
  return Fields{{"state", std::to_string(info->state)}, {"generated", std::to_string(info->generated_token_count)}};
}

Reply transfer(const Fields& a) {
  auto bytes = sessions.at(a.at("session")).export_bytes();
  if (!bytes) return bytes.error();
  if (a.count("damaged") != 0) bytes->data[bytes->size - 1] ^= 1;
  return session(a, models.at(a.at("model")).import_session(*bytes));
}

Reply machine(const Fields&) {
  auto info = fsv::machine();
  auto devices = fsv::devices();
  auto ceilings = fsv::measure_machine(1, 50);
  if (!info || !devices || !ceilings) return info.error();
  return Fields{{"cpus", std::to_string(info->usable_cpu_count)},
                {"kernels", info->kernels},
                {"devices", std::to_string(devices->size())},
                {"measured", ceilings->read_bytes_per_second > 0 ? "1" : "0"}};
}

Reply inspect(const Fields& a) {
  auto info = fsv::inspect(a.at("path"));
  if (!info) return info.error();
  auto json = fsv::inspect_json(a.at("path")), plan = fsv::plan_json(a.at("path"));
  if (!json || !plan) return json ? plan.error() : json.error();
  return Fields{{"architecture", info->architecture},
                {"name", info->name},
                {"vocabulary_size", std::to_string(info->vocabulary_size)},
                {"json", *json},
                {"plan", *plan}};
}

Reply estimate(const Fields& a) {
  fsv::EngineConfig config;
  if (a.count("context_tokens") != 0) config.context_tokens = static_cast<uint32_t>(std::stoul(a.at("context_tokens")));
  if (a.count("memory_budget_bytes") != 0) config.memory_budget_bytes = std::stoull(a.at("memory_budget_bytes"));
  auto found = fsv::estimate(a.at("path"), config);
  if (!found) return found.error();
  const uint64_t sum = found->weight_bytes + found->kv_bytes + found->activation_bytes + found->other_bytes;
  const bool is_complete = found->total_bytes == sum && sum <= found->peak_bytes;
  return Fields{{"weights", std::to_string(found->weight_bytes)}, {"complete", is_complete ? "1" : "0"}};
}

Reply ids_of(fsv::Result<std::vector<int32_t>> ids) {
  if (!ids) return ids.error();
  return Fields{{"ids", joined(*ids)}};
}

Reply ranges(const Fields& a) {
  auto found = models.at(a.at("model")).tokenize_ranges(a.at("text"));
  if (!found) return found.error();
  std::vector<int32_t> ids, starts, ends;
  for (const auto& [id, range] : *found) {
    ids.push_back(id);
    starts.push_back(static_cast<int32_t>(range.start));
    ends.push_back(static_cast<int32_t>(range.end));
  }
  return Fields{{"ids", joined(ids)}, {"starts", joined(starts)}, {"ends", joined(ends)}};
}

Reply token(const Fields& a) {
  uint32_t attributes = 0;
  auto text = models.at(a.at("model")).token(std::stoi(a.at("token")), &attributes);
  if (!text) return text.error();
  return Fields{{"text", *text}, {"attributes", std::to_string(attributes)}};
}

Reply score(const Fields& a) {
  auto scores = models.at(a.at("model")).score(a.at("prompt"));
  if (!scores) return scores.error();
  std::vector<int32_t> tenths;
  for (const float value : *scores) tenths.push_back(static_cast<int32_t>(std::floor(value * 10.0 + 0.5)));
  return Fields{{"scores", joined(tenths)}};
}

Reply close(const Fields& a) {
  const std::string& id = a.at("id");
  if (const auto found = streams.find(id); found != streams.end()) found->second.close();
  if (const auto found = sessions.find(id); found != sessions.end()) found->second.close();
  if (const auto found = models.find(id); found != models.end()) found->second.close();
  if (const auto found = engines.find(id); found != engines.end()) found->second.close();
  return Fields{};
}

Reply cycle(const Fields& a) {
  fsv::EngineConfig config;
  config.thread_count = 1;
  auto engine = fsv::Engine::create(config);
  for (unsigned long i = 0; engine && i < std::stoul(a.at("count")); ++i) {
    auto model = engine->load(a.at("path"));
    if (!model) return model.error();
    fsv::GenerateOptions options;
    options.max_tokens = 1;
    auto stream = model->generate("x", options);
    if (!stream) return stream.error();
    (void)stream->text();
  }
  return Fields{};
}

Reply reset(const Fields&) {
  streams.clear();
  sessions.clear();
  models.clear();
  engines.clear();
  parts.clear();
  return Fields{};
}

using Command = std::function<Reply(const Fields&)>;
const std::map<std::string, Command> commands = {
    {"layout", [](const Fields&) { return Fields{{"layout", ""}}; }},  // the header itself
    {"version",
     [](const Fields&) {
       return Fields{{"version", fsv_version_string()}, {"abi", std::to_string(fsv_abi_version())}};
     }},
    {"open", open},
    {"load", load},
    {"info", info},
    {"start", start},
    {"next", next},
    {"generate", generate},
    {"cancel_elsewhere", cancel_elsewhere},
    {"concurrent", concurrent},
    {"session_info", session_info},
    {"stats", stats},
    {"evict", [](const Fields& a) { return of(models.at(a.at("model")).evict()); }},
    {"model_memory", model_memory},
    {"memory_event", memory_event},
    {"cycle", cycle},
    {"reset", reset},
    {"close", close},
    {"tokenize", [](const Fields& a) { return ids_of(models.at(a.at("model")).tokenize(a.at("text"))); }},
    {"chat_ids",
     [](const Fields& a) { return ids_of(models.at(a.at("model")).tokenize_chat({{a.at("role"), a.at("content")}})); }},
    {"ranges", ranges},
    {"token", token},
    {"score", score},
    {"machine", machine},
    {"inspect", inspect},
    {"estimate", estimate},
    {"metrics", metrics},
    {"request_info", request_info},
    {"transfer", transfer},
    {"step_target",
     [](const Fields& a) { return of(engines.at(a.at("engine")).set_step_target(std::stoull(a.at("us")))); }},
    {"finish",
     [](const Fields& a) {
       fsv::Generation& stream = streams.at(a.at("stream"));
       return finish(stream, std::exchange(parts[&stream], {}));
     }},
    {"cancel",
     [](const Fields& a) {
       streams.at(a.at("stream")).cancel();
       return Fields{};
     }},
    {"detokenize", [](const Fields& a) { return text_of(models.at(a.at("model")).detokenize(numbers(a.at("ids")))); }},
    {"render",
     [](const Fields& a) { return text_of(models.at(a.at("model")).render_chat({{a.at("role"), a.at("content")}})); }},
    {"session", [](const Fields& a) { return session(a, models.at(a.at("model")).session()); }},
    {"fork", [](const Fields& a) { return session(a, sessions.at(a.at("session")).fork()); }},
    {"truncate", [](const Fields& a) { return of(sessions.at(a.at("session")).truncate(std::stoul(a.at("tokens")))); }},
    {"save", [](const Fields& a) { return of(sessions.at(a.at("session")).save(a.at("name"))); }},
    {"restore", [](const Fields& a) { return session(a, models.at(a.at("model")).load_session(a.at("path"))); }},
    {"priority",
     [](const Fields& a) { return of(streams.at(a.at("stream")).set_priority(std::stoi(a.at("priority")))); }},
    {"undo", [](const Fields& a) { return of(sessions.at(a.at("session")).undo()); }},
    {"pause", [](const Fields& a) { return of(engines.at(a.at("engine")).pause()); }},
    {"resume", [](const Fields& a) { return of(engines.at(a.at("engine")).resume()); }},
    {"budget",
     [](const Fields& a) { return of(engines.at(a.at("engine")).set_memory_budget(std::stoull(a.at("bytes")))); }},
    {"trim",
     [](const Fields& a) {
       return of(engines.at(a.at("engine")).trim(static_cast<uint32_t>(std::stoul(a.at("flags")))));
     }},
    {"shutdown", [](const Fields& a) { return of(engines.at(a.at("engine")).shutdown()); }},
};

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    Fields fields;
    const Command& command = commands.at(read_command(line, fields));
    Reply reply = command(fields);
    if (reply) {
      std::cout << write_reply("ok", *reply) << std::endl;
    } else {
      std::cout << write_reply("error", {{"status", reply.error().name()}, {"message", reply.error().message}})
                << std::endl;
    }
  }
  return 0;
}
