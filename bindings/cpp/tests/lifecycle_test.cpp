// What C++ adds to the conformance cases: moves, exceptions where they are on, handles that were closed.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fastserve.hpp>
#include <thread>

#define EXPECT(condition)                                          \
  do {                                                             \
    if (!(condition)) {                                            \
      std::printf("line %d: expected %s\n", __LINE__, #condition); \
      std::exit(1);                                                \
    }                                                              \
  } while (false)

namespace {

fsv::Engine make_engine() {
  fsv::EngineConfig config;
  config.thread_count = 1;
  auto engine = fsv::Engine::create(config);
  EXPECT(engine);
  return std::move(*engine);
}

fsv::GenerateOptions endless() {
  fsv::GenerateOptions options;
  options.ignore_eos = 1;
  options.max_tokens = 100000000;
  options.context_full = FSV_CONTEXT_SLIDE;
  return options;
}

void test_progress_cancels(const char* path) {
  fsv::Engine engine = make_engine();
  auto model = engine.load(path, [](uint64_t, uint64_t) { return false; });
  EXPECT(!model && model.error().status == FSV_ERROR_CANCELLED);
  EXPECT(engine.memory_stats()->model_count == 0);
}

void test_moves_and_closed_handles(const char* path) {
  fsv::Engine engine = make_engine();
  auto loaded = engine.load(path);
  EXPECT(loaded);
  fsv::Model model = std::move(*loaded);
  auto first = model.generate("tick tock", endless());
  auto second = model.generate("tick tock", endless());
  EXPECT(first && second && first->next());
  *first = std::move(*second);  // ends what it was
  EXPECT(first->next());
  first->close();
  first->close();
  EXPECT(!first->next());
  model.close();
  model.close();
  EXPECT(model.info().error().status == FSV_ERROR_STALE);
  auto third = model.generate("x");
  EXPECT(!third && third.error().status == FSV_ERROR_STALE && !third.error().message.empty());
  engine.close();
  EXPECT(engine.memory_stats().error().status == FSV_ERROR_STALE);
}

// Every order of the ends of engine, model, session and generation.
void test_ends_in_any_order(const char* path) {
  for (int order = 0; order < 24; ++order) {
    auto engine = std::make_optional(make_engine());
    auto model = std::make_optional(std::move(*engine->load(path)));
    auto session = std::make_optional(std::move(*model->session()));
    fsv::GenerateOptions options = endless();
    options.session = session->get();
    auto stream = std::make_optional(std::move(*model->generate("tick tock", options)));
    EXPECT(stream->next());
    std::vector<int> left = {0, 1, 2, 3};
    for (int size = 4, code = order; size > 0; code /= size, --size) {
      const auto at = left.begin() + code % size;
      if (*at == 0) engine.reset();
      if (*at == 1) model.reset();
      if (*at == 2) session.reset();
      if (*at == 3) stream.reset();
      left.erase(at);
    }
  }
}

void test_engine_closed_by_another_thread(const char* path) {
  fsv::Engine engine = make_engine();
  auto model = engine.load(path);
  auto stream = model->generate("tick tock", endless());
  EXPECT(stream->next());
  std::thread closer([&] { engine.close(); });
  while (stream->next()) {
  }
  EXPECT(stream->error().status != FSV_OK || stream->finish_reason() == FSV_FINISH_SHUTDOWN);
  closer.join();
}

// The hook is called by the engine's thread, and outlives what calls it.
void test_memory_hook(const char* path) {
  std::atomic<uint32_t> told{0};
  fsv::EngineConfig config;
  config.thread_count = 1;
  config.memory_events = 1;
  const auto on_memory = [&told](uint32_t pressure, uint64_t, uint64_t budget_bytes) {
    if (budget_bytes == 0) told |= pressure;
  };
  auto engine = fsv::Engine::create(config, on_memory);
  auto model = engine->load(path);
  EXPECT(model->evict());
  auto event = engine->next_memory_event();
  EXPECT(event && event->pressure == FSV_PRESSURE_MODELS);
  EXPECT(model->memory()->state == FSV_MODEL_EVICTED);
  fsv::GenerateOptions options;
  options.max_tokens = 1;
  EXPECT(model->generate("tick", options)->text());
  while ((told & FSV_PRESSURE_RELOADED) == 0) std::this_thread::yield();
  engine->close();
  EXPECT(told == (FSV_PRESSURE_MODELS | FSV_PRESSURE_RELOADED));
}

#if defined(__cpp_exceptions)
void test_exceptions() {
  try {
    (void)make_engine().load("nowhere.gguf").value();
    EXPECT(false);
  } catch (const fsv::Exception& exception) {
    EXPECT(exception.error().status == FSV_ERROR_NOT_FOUND);
    EXPECT(std::string(exception.what()).find("nowhere.gguf") != std::string::npos);
  }
}
#else
void test_exceptions() {}
#endif

}  // namespace

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  test_progress_cancels(argv[1]);
  test_moves_and_closed_handles(argv[1]);
  test_ends_in_any_order(argv[1]);
  test_engine_closed_by_another_thread(argv[1]);
  test_memory_hook(argv[1]);
  test_exceptions();
  return 0;
}
