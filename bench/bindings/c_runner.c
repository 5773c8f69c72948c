/* What a binding is compared with: the commands open, load, concurrent and reset of bindings/conformance, in C, one
 * thread that polls for all requests. */
#include <fastserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE_MAX = 1 << 16, VALUES_MAX = 16, EVENTS_MAX = 64 };

static fsv_engine* engine = NULL;
static fsv_model* model = NULL;
static const char* names[VALUES_MAX];
static char* values[VALUES_MAX];
static int value_count = 0;

static const char* get(const char* name) {
  for (int i = 0; i < value_count; ++i) {
    if (strcmp(names[i], name) == 0) return values[i];
  }
  return NULL;
}

static uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = get(name);
  return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void decode(char* text) {
  char* to = text;
  for (const char* from = text; *from != '\0'; ++from) {
    unsigned code = 0;
    if (*from == '%' && sscanf(from + 1, "%2x", &code) == 1) {
      *to++ = (char)code;
      from += 2;
    } else {
      *to++ = *from;
    }
  }
  *to = '\0';
}

static void split(char* line) {
  value_count = 0;
  strtok(line, " ");
  for (char* word = strtok(NULL, " "); word != NULL && value_count < VALUES_MAX; word = strtok(NULL, " ")) {
    char* equals = strchr(word, '=');
    if (equals == NULL) continue;
    *equals = '\0';
    decode(equals + 1);
    names[value_count] = word;
    values[value_count++] = equals + 1;
  }
}

static fsv_status open_engine(fsv_error* error) {
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.thread_count = (uint32_t)number("thread_count", 1);
  config.context_tokens = (uint32_t)number("context_tokens", 0);
  config.max_sequences = (uint32_t)number("max_sequences", 0);
  return fsv_engine_create(&config, &engine, error);
}

static fsv_status load(fsv_error* error) {
  fsv_load_config config;
  fsv_ticket ticket = 0;
  fsv_load_config_init(&config, sizeof(config));
  config.path = get("path");
  config.path_size = SIZE_MAX;
  fsv_status status = fsv_model_load(engine, &config, &ticket, error);
  if (status == FSV_OK) status = fsv_ticket_wait(engine, ticket, UINT64_MAX, error);
  return status == FSV_OK ? fsv_ticket_take_model(engine, ticket, &model, error) : status;
}

static fsv_status submit(fsv_sampling* sampling, uint64_t index, fsv_error* error) {
  fsv_generate_config config;
  fsv_request request = 0;
  fsv_generate_config_init(&config, sizeof(config));
  config.text = get("prompt");
  config.text_size = SIZE_MAX;
  config.max_tokens = (uint32_t)number("max_tokens", config.max_tokens);
  config.ignore_eos = (uint32_t)number("ignore_eos", 0);
  config.speculation = (uint32_t)number("speculation", 0);
  config.sampling = sampling;
  config.user_data = index;
  return fsv_submit_generate(engine, model, &config, &request, error);
}

/* Answers to `count` requests, their texts put together as a host would. */
static fsv_status concurrent(fsv_error* error) {
  static fsv_event events[EVENTS_MAX];
  const uint64_t count = number("count", 1);
  struct answer {
    char* text;
    size_t size;
  }* answers = calloc(count, sizeof(*answers));
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  fsv_status status = fsv_model_default_sampling(model, &sampling, error);
  sampling.temperature = get("temperature") == NULL ? sampling.temperature : strtof(get("temperature"), NULL);
  for (uint64_t i = 0; i < count && status == FSV_OK; ++i) status = submit(&sampling, i, error);
  for (uint64_t ended = 0; ended < count && status == FSV_OK;) {
    size_t taken = 0;
    status = fsv_wait(engine, UINT64_MAX, error);
    if (status == FSV_OK) status = fsv_poll(engine, events, sizeof(fsv_event), EVENTS_MAX, &taken, error);
    for (size_t i = 0; i < taken; ++i) {
      struct answer* answer = events[i].user_data < count ? &answers[events[i].user_data] : NULL;
      if (events[i].type == FSV_EVENT_FINISHED) ++ended;
      if (events[i].type != FSV_EVENT_TOKENS || answer == NULL) continue;
      char* grown = realloc(answer->text, answer->size + events[i].text_size + 1);
      if (grown == NULL) abort();
      memcpy(grown + answer->size, events[i].text, events[i].text_size);
      answer->text = grown;
      answer->size += events[i].text_size;
    }
  }
  for (uint64_t i = 0; i < count; ++i) free(answers[i].text);
  free(answers);
  return status;
}

int main(void) {
  static char line[LINE_SIZE_MAX];
  while (fgets(line, sizeof(line), stdin) != NULL) {
    fsv_error error = {0};
    fsv_status status = FSV_OK;
    line[strcspn(line, "\n")] = '\0';
    const size_t size = strcspn(line, " ");
    const char first = size > 0 ? line[0] : '\0';
    split(line);
    switch (first) {
      case 'o':
        status = open_engine(&error);
        break;
      case 'l':
        status = load(&error);
        break;
      case 'c':
        status = concurrent(&error);
        break;
      default:
        fsv_model_release(model, NULL);
        fsv_engine_release(engine, NULL);
    }
    if (status == FSV_OK) {
      puts("ok");
    } else {
      printf("error status=%s message=%s\n", fsv_status_name(status), "refused");
    }
    fflush(stdout);
  }
  return 0;
}
