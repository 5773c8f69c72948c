// The library beside another C++ runtime: this program holds a whole libstdc++ and an operator new of its own and
// exports both, so that whatever the library left open would be bound here. Neither may serve the library, and both go
// on working. usage: runtime_host <libfastserve.so> <model.gguf>
#include <dlfcn.h>
#include <fastserve.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

thread_local bool is_inside = false;  // a call of the library
unsigned long taken = 0;              // blocks that such a call took from this program's operator new

template <typename Function>
Function* find(void* library, const char* name, Function*) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) std::fprintf(stderr, "%s\n", dlerror()), std::exit(1);
  return reinterpret_cast<Function*>(symbol);
}
#define FIND(library, name) find(library, #name, &(name))

template <typename Function, typename... Arguments>
auto inside(Function function, Arguments... arguments) {
  is_inside = true;
  const auto result = function(arguments...);
  is_inside = false;
  return result;
}

void demand(bool is_true, const char* what) {
  if (is_true) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// Streams, locales, exceptions and the heap of this program's runtime.
void use_own_runtime() {
  std::ostringstream text;
  text << 1.5 << ' ' << std::string(100, 'x');
  demand(text.str().size() == 104, "own streams");
  bool is_caught = false;
  try {
    std::vector<int>().at(3);
  } catch (const std::out_of_range&) {
    is_caught = true;
  }
  demand(is_caught, "own exceptions");
}

// Every call on this thread, so that `is_inside` sees what the library does.
void generate(void* library, const char* model_path) {
  fsv_engine_config config;
  FIND(library, fsv_engine_config_init)(&config, sizeof(config));
  config.mode = FSV_MODE_PUMPED;
  fsv_engine* engine = nullptr;
  demand(inside(FIND(library, fsv_engine_create), &config, &engine, nullptr) == FSV_OK, "engine");
  fsv_load_config load;
  FIND(library, fsv_load_config_init)(&load, sizeof(load));
  load.path = "/no/such/file";
  load.path_size = SIZE_MAX;
  fsv_ticket ticket = 0;
  uint32_t more = 1;
  const auto load_model = FIND(library, fsv_model_load);
  const auto step = FIND(library, fsv_engine_step);
  const auto take = FIND(library, fsv_ticket_take_model);
  fsv_model* model = nullptr;
  demand(inside(load_model, engine, &load, &ticket, nullptr) == FSV_OK, "load of nothing");
  while (more != 0) demand(inside(step, engine, 10000, &more, nullptr) == FSV_OK, "step");
  demand(inside(take, engine, ticket, &model, nullptr) == FSV_ERROR_NOT_FOUND, "the missing file's status");
  load.path = model_path;
  demand(inside(load_model, engine, &load, &ticket, nullptr) == FSV_OK, "load");
  for (more = 1; more != 0;) demand(inside(step, engine, 10000, &more, nullptr) == FSV_OK, "step");
  demand(inside(take, engine, ticket, &model, nullptr) == FSV_OK, "model");
  fsv_generate_config request_config;
  FIND(library, fsv_generate_config_init)(&request_config, sizeof(request_config));
  request_config.text = "It was a dark and stormy night";
  request_config.text_size = SIZE_MAX;
  request_config.max_tokens = 8;
  fsv_request request = 0;
  demand(inside(FIND(library, fsv_submit_generate), engine, model, &request_config, &request, nullptr) == FSV_OK,
         "request");
  unsigned tokens = 0;
  for (bool is_finished = false; !is_finished;) {
    fsv_event events[8];
    size_t count = 0;
    demand(inside(step, engine, 10000, &more, nullptr) == FSV_OK, "step");
    demand(inside(FIND(library, fsv_poll), engine, events, sizeof events[0], 8, &count, nullptr) == FSV_OK, "poll");
    for (size_t i = 0; i < count; ++i) {
      tokens += events[i].type == FSV_EVENT_TOKENS ? events[i].token_count : 0;
      is_finished |= events[i].type == FSV_EVENT_FINISHED;
    }
    use_own_runtime();
  }
  demand(tokens == 8, "eight tokens");
  demand(inside(FIND(library, fsv_model_release), model, nullptr) == FSV_OK, "release of the model");
  demand(inside(FIND(library, fsv_engine_release), engine, nullptr) == FSV_OK, "release of the engine");
}

}  // namespace

void* operator new(std::size_t size) {
  taken += is_inside ? 1 : 0;
  if (void* address = std::malloc(size == 0 ? 1 : size)) return address;
  throw std::bad_alloc();
}
void operator delete(void* address) noexcept { std::free(address); }
void operator delete(void* address, std::size_t) noexcept { std::free(address); }

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (access(argv[2], R_OK) != 0) return std::printf("SKIPPED: %s is missing\n", argv[2]), 0;
  use_own_runtime();
  for (const int mode : {RTLD_NOW | RTLD_GLOBAL, RTLD_NOW | RTLD_LOCAL}) {
    void* library = dlopen(argv[1], mode);
    demand(library != nullptr, "dlopen");
    generate(library, argv[2]);
    dlclose(library);
    use_own_runtime();
  }
  std::printf("the library took %lu blocks from the host's operator new\n", taken);
  return taken == 0 ? 0 : 1;
}
