/* A host of a whole life: load, generate, cancel, save, shut down, release, in both modes; run under strace by
 * quiet_test.py. Says where the library's part begins and ends by two writes to descriptor 9 (closed: they fail, and
 * show in the trace). Returns the number of times that anyone asked for the environment meanwhile. usage: quiet_host
 * <model.gguf> <write folder> */
#define _GNU_SOURCE
#include <fastserve.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int environment_reads = 0, counting = 0;

/* Stand in for the C library's: whatever the library or its runtime asks for comes here. */
static char* find(const char* name) {
  size_t size = strlen(name);
  environment_reads += counting;
  for (char** entry = environ; *entry != NULL; ++entry) {
    if (strncmp(*entry, name, size) == 0 && (*entry)[size] == '=') return *entry + size + 1;
  }
  return NULL;
}
char* getenv(const char* name) { return find(name); }
char* secure_getenv(const char* name) { return find(name); }

static fsv_model* load(fsv_engine* engine, const char* path, int is_pumped) {
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = path;
  config.path_size = SIZE_MAX;
  fsv_ticket ticket = 0;
  fsv_model* model = NULL;
  uint32_t more = 1;
  if (fsv_model_load(engine, &config, &ticket, NULL) != FSV_OK) return NULL;
  while (is_pumped && more != 0 && fsv_engine_step(engine, 10000, &more, NULL) == FSV_OK) continue;
  if (!is_pumped) fsv_ticket_wait(engine, ticket, UINT64_MAX, NULL);
  fsv_ticket_take_model(engine, ticket, &model, NULL);
  return model;
}

static int generate(fsv_engine* engine, fsv_model* model, int is_pumped) {
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.text = "It was a dark and stormy night";
  config.text_size = SIZE_MAX;
  config.max_tokens = 8;
  fsv_request request = 0, cancelled = 0;
  if (fsv_submit_generate(engine, model, &config, &request, NULL) != FSV_OK) return 1;
  if (fsv_submit_generate(engine, model, &config, &cancelled, NULL) != FSV_OK) return 1;
  fsv_request_cancel(engine, cancelled, NULL);
  for (int finished = 0; finished < 2;) {
    fsv_event events[8];
    size_t count = 0;
    uint32_t more = 0;
    if (is_pumped) fsv_engine_step(engine, 10000, &more, NULL);
    if (!is_pumped) fsv_wait(engine, 1000000, NULL);
    if (fsv_poll(engine, events, sizeof events[0], 8, &count, NULL) != FSV_OK) return 1;
    for (size_t i = 0; i < count; ++i) finished += events[i].type == FSV_EVENT_FINISHED;
  }
  return 0;
}

/* Saves a session into the folder and brings it back; the host removes the file itself. */
static int save(fsv_engine* engine, fsv_model* model, const char* folder) {
  fsv_session *session = NULL, *loaded = NULL;
  char path[4096] = "";
  if (strlen(folder) + sizeof "/slot" > sizeof path) return 1;
  strcat(strcpy(path, folder), "/slot");
  int failed = fsv_session_create(engine, model, &session, NULL) != FSV_OK;
  failed = failed || fsv_session_save(session, "slot", SIZE_MAX, 0, NULL) != FSV_OK;
  failed = failed || fsv_session_save(session, "../slot", SIZE_MAX, 0, NULL) != FSV_ERROR_INVALID_ARGUMENT;
  failed = failed || fsv_session_load(engine, model, path, SIZE_MAX, &loaded, NULL) != FSV_OK;
  if (session != NULL) fsv_session_release(session, NULL);
  if (loaded != NULL) fsv_session_release(loaded, NULL);
  return failed;
}

static int live(const char* path, const char* folder, int is_pumped) {
  fsv_engine_config config;
  fsv_engine* engine = NULL;
  fsv_engine_config_init(&config, sizeof(config));
  config.mode = is_pumped ? FSV_MODE_PUMPED : FSV_MODE_THREADED;
  config.context_tokens = 256;
  config.max_sequences = 2;
  config.write_folder = folder;
  config.write_folder_size = SIZE_MAX;
  if (fsv_engine_create(&config, &engine, NULL) != FSV_OK) return 1;
  fsv_model* model = load(engine, path, is_pumped);
  int failed = model == NULL || generate(engine, model, is_pumped) || save(engine, model, folder);
  fsv_model* none = load(engine, "no such file.gguf", is_pumped); /* failures are quiet too */
  failed |= none != NULL;
  fsv_engine_shutdown(engine, 0, NULL);
  if (model != NULL) fsv_model_release(model, NULL);
  fsv_engine_release(engine, NULL);
  return failed;
}

int main(int argc, char** argv) {
  if (argc != 3) return 100;
  ssize_t unused = write(9, "begin", 5);
  counting = 1;
  int failed = live(argv[1], argv[2], 0) || live(argv[1], argv[2], 1);
  counting = 0;
  unused = write(9, "end", 3);
  (void)unused;
  return failed ? 101 : environment_reads;
}
