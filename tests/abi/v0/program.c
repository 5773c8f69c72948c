/* A program of ABI version 0: compiled with the header of then, run on the library of now. argv[1]: a GGUF file. */
#include "fastserve.h"

#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) return printf("line %d: expected %s\n", __LINE__, #condition), 1; \
  } while (0)

/* Bytes behind a struct that the library of now may know more fields of. */
static const unsigned char kGuard[64] = {0xA5, 0x5A, 0xA5, 0x5A};

typedef struct {
  fsv_engine_config config;
  unsigned char guard[64];
} guarded_engine_config;

typedef struct {
  fsv_event events[2];
  unsigned char guard[64];
} guarded_events;

static int ask(fsv_engine* engine, fsv_model* model, char* text, size_t capacity) {
  fsv_error error;
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof sampling);
  sampling.temperature = 0;
  fsv_generate_config generate;
  fsv_generate_config_init(&generate, sizeof generate);
  generate.text = "The cat";
  generate.text_size = SIZE_MAX;
  generate.sampling = &sampling;
  generate.user_data = 42;
  fsv_request request = 0;
  CHECK(fsv_submit_generate(engine, model, &generate, &request, &error) == FSV_OK);
  size_t used = 0;
  for (int finished = 0; !finished;) {
    guarded_events polled;
    memcpy(polled.guard, kGuard, sizeof kGuard);
    size_t count = 0;
    CHECK(fsv_wait(engine, UINT64_MAX, &error) == FSV_OK);
    CHECK(fsv_poll(engine, polled.events, sizeof(fsv_event), 2, &count, &error) == FSV_OK);
    CHECK(memcmp(polled.guard, kGuard, sizeof kGuard) == 0);
    for (size_t i = 0; i < count; ++i) {
      const fsv_event* event = &polled.events[i];
      if (event->request != request) continue;
      CHECK(event->user_data == 42 && event->status == FSV_OK);
      CHECK(used + event->text_size < capacity);
      if (event->text_size > 0) memcpy(text + used, event->text, event->text_size);
      used += event->text_size;
      if (event->type == FSV_EVENT_FINISHED) {
        finished = 1;
        CHECK(event->finish_reason == FSV_FINISH_STOP);
      }
    }
  }
  text[used] = '\0';
  return 0;
}

int main(int argc, char** argv) {
  CHECK(argc == 2);
  CHECK(fsv_abi_version() == FSV_ABI_VERSION);
  fsv_error error;
  guarded_engine_config engine_config;
  memcpy(engine_config.guard, kGuard, sizeof kGuard);
  fsv_engine_config_init(&engine_config.config, sizeof engine_config.config);
  CHECK(memcmp(engine_config.guard, kGuard, sizeof kGuard) == 0);
  CHECK(engine_config.config.struct_size == sizeof engine_config.config);
  engine_config.config.thread_count = 1;
  fsv_engine* engine = NULL;
  CHECK(fsv_engine_create(&engine_config.config, &engine, &error) == FSV_OK);

  fsv_load_config load;
  fsv_load_config_init(&load, sizeof load);
  load.path = argv[1];
  load.path_size = SIZE_MAX;
  fsv_ticket ticket = 0;
  fsv_model* model = NULL;
  CHECK(fsv_model_load(engine, &load, &ticket, &error) == FSV_OK);
  CHECK(fsv_ticket_wait(engine, ticket, UINT64_MAX, &error) == FSV_OK);
  CHECK(fsv_ticket_take_model(engine, ticket, &model, &error) == FSV_OK);
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof info);
  CHECK(fsv_model_get_info(model, &info, &error) == FSV_OK);
  CHECK(info.struct_size == sizeof info && strcmp(info.name, "tiny") == 0 && info.layer_count == 2);

  char text[1024];
  if (ask(engine, model, text, sizeof text) != 0) return 1;
  CHECK(strcmp(text, " sat on the mat. The dog sat on the log.") == 0);
  fsv_memory_stats stats;
  fsv_memory_stats_init(&stats, sizeof stats);
  CHECK(fsv_memory_get_stats(engine, &stats, &error) == FSV_OK && stats.model_count == 1 && stats.weight_bytes > 0);
  CHECK(fsv_model_release(model, &error) == FSV_OK && fsv_engine_release(engine, &error) == FSV_OK);
  CHECK(fsv_engine_release(engine, &error) == FSV_ERROR_STALE && error.message_size == strlen(error.message));
  return 0;
}
