/* Several requests at once: they run together in one batch, their events arrive interleaved, one is cancelled half
 * way, and at the end the engine says what it did.
 *   many_requests MODEL.gguf
 * Read examples/hello first. */
#include <fastserve.h>
#include <stdio.h>
#include <string.h>

enum { REQUESTS = 5, CANCELLED = 3, CANCEL_AFTER_TOKENS = 12, PROMPT_CAPACITY = 1024, TEXT_CAPACITY = 4096 };

static const char* const questions[REQUESTS] = {
    "What is the capital of France?", "Name three colours.", "How many days are in a week?",
    "Write a very long story about a dragon.", /* the one that we will not wait for */
    "Say hello in Spanish."};

struct answer {
  char text[TEXT_CAPACITY];
  size_t text_size;
  uint32_t tokens;
  fsv_finish_reason reason;
};

static int failed(const char* what, fsv_status status, const fsv_error* error) {
  if (status != FSV_OK) fprintf(stderr, "%s: %s: %s\n", what, fsv_status_name(status), error->message);
  return status != FSV_OK;
}

/* Loads with progress: the ticket's events come by the same poll as everything else. */
static fsv_model* load_model(fsv_engine* engine, const char* path) {
  fsv_error error;
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = path;
  config.path_size = SIZE_MAX;
  config.user_data = UINT64_MAX; /* tells the load's events from those of request 0 */
  fsv_ticket ticket = 0;
  if (failed("load", fsv_model_load(engine, &config, &ticket, &error), &error)) return NULL;
  for (int loading = 1; loading;) {
    fsv_event events[8];
    size_t count = 0;
    if (failed("wait", fsv_wait(engine, UINT64_MAX, &error), &error)) return NULL;
    if (failed("poll", fsv_poll(engine, events, sizeof events[0], 8, &count, &error), &error)) return NULL;
    for (size_t i = 0; i < count; ++i) {
      if (events[i].request != ticket) continue;
      if (events[i].type == FSV_EVENT_LOAD_FINISHED) loading = 0;
    }
  }
  fsv_model* model = NULL;
  failed("load", fsv_ticket_take_model(engine, ticket, &model, &error), &error);
  return model; /* NULL if it failed */
}

/* Queues one question and returns at once. `index` comes back as user_data in each of the request's events, so that
 * no table from requests to answers is needed. */
static fsv_request ask(fsv_engine* engine, fsv_model* model, uint64_t index) {
  fsv_error error;
  int32_t prompt[PROMPT_CAPACITY];
  fsv_chat_message message = {"user", SIZE_MAX, questions[index], SIZE_MAX};
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0.7f;
  sampling.top_p = 0.9f;
  sampling.seed = 42 + index; /* same seed, same answer, whatever runs beside it */
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.token_ids = prompt; /* copied by the submit */
  config.max_tokens = 80;
  config.sampling = &sampling;
  config.user_data = index;
  fsv_request request = 0;
  if (failed("chat template",
             fsv_chat_tokenize(model, &message, 1, FSV_CHAT_ADD_GENERATION_PROMPT, prompt, PROMPT_CAPACITY,
                               &config.token_count, &error),
             &error)) {
    return 0;
  }
  failed("submit", fsv_submit_generate(engine, model, &config, &request, &error), &error);
  return request; /* 0 if it failed: no request has this number */
}

static void take(struct answer* answer, const fsv_event* event) {
  size_t room = TEXT_CAPACITY - answer->text_size;
  size_t size = event->text_size < room ? event->text_size : room;
  if (size > 0) memcpy(answer->text + answer->text_size, event->text, size); /* event->text dies with the next poll */
  answer->text_size += size;
  answer->tokens += (uint32_t)event->token_count;
  if (event->type == FSV_EVENT_FINISHED) answer->reason = event->finish_reason;
}

/* Pulls events of all requests until each has finished. */
static int collect(fsv_engine* engine, const fsv_request* requests, struct answer* answers) {
  fsv_error error;
  int cancel_sent = 0;
  for (int running = REQUESTS; running > 0;) {
    fsv_event events[16];
    size_t count = 0;
    if (failed("wait", fsv_wait(engine, UINT64_MAX, &error), &error)) return 1;
    if (failed("poll", fsv_poll(engine, events, sizeof events[0], 16, &count, &error), &error)) return 1;
    for (size_t i = 0; i < count; ++i) {
      if (events[i].user_data >= REQUESTS) continue;
      take(&answers[events[i].user_data], &events[i]);
      if (events[i].type == FSV_EVENT_FINISHED) --running;
    }
    if (!cancel_sent && answers[CANCELLED].tokens >= CANCEL_AFTER_TOKENS) {
      cancel_sent = 1; /* its FINISHED event follows; the others do not notice */
      fsv_request_cancel(engine, requests[CANCELLED], NULL);
    }
  }
  return 0;
}

static void print_stats(fsv_engine* engine) {
  fsv_metrics metrics;
  fsv_memory_stats memory;
  fsv_metrics_init(&metrics, sizeof(metrics));
  fsv_memory_stats_init(&memory, sizeof(memory));
  if (fsv_metrics_snapshot(engine, &metrics, NULL) != FSV_OK) return;
  if (fsv_memory_get_stats(engine, &memory, NULL) != FSV_OK) return;
  printf("\n%llu steps for %llu prompt and %llu answer tokens: %.1f rows a step\n", (unsigned long long)metrics.steps,
         (unsigned long long)metrics.prefill_tokens, (unsigned long long)metrics.decode_tokens,
         metrics.steps ? (double)metrics.batch_rows_total / (double)metrics.steps : 0.0);
  printf("%llu finished, %llu cancelled; %.1f MB in use, %.1f MB of it weights\n",
         (unsigned long long)metrics.finished_requests, (unsigned long long)metrics.cancelled_requests,
         (double)memory.used_bytes / 1e6, (double)memory.weight_bytes / 1e6);
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: many_requests MODEL.gguf\n"), 2;
  fsv_error error;
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.context_tokens = 1024; /* no request here is longer, so the KV cache need not be larger */
  config.max_sequences = REQUESTS;
  fsv_engine* engine = NULL;
  if (failed("engine", fsv_engine_create(&config, &engine, &error), &error)) return 1;
  fsv_model* model = load_model(engine, argv[1]);
  int result = model == NULL;

  static struct answer answers[REQUESTS];
  fsv_request requests[REQUESTS];
  for (uint64_t i = 0; i < REQUESTS && !result; ++i) {
    requests[i] = ask(engine, model, i);
    result = requests[i] == 0;
  }
  if (!result) result = collect(engine, requests, answers);
  for (int i = 0; i < REQUESTS && !result; ++i) {
    printf("--- %s [%s, %u tokens]\n%.*s\n", questions[i], fsv_finish_reason_name(answers[i].reason),
           (unsigned)answers[i].tokens, (int)answers[i].text_size, answers[i].text);
  }
  if (!result) print_stats(engine);
  if (model) fsv_model_release(model, NULL);
  fsv_engine_release(engine, NULL); /* ends whatever still runs */
  return result;
}
