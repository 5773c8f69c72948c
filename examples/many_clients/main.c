/* Many clients of one engine: chats of different lengths compete for a few places, and now and then somebody asks an
 * urgent question, which interrupts the others instead of waiting for them. In the middle of it the host needs most of
 * the engine's memory for something else, and gives it back later: who runs waits or computes again, and no answer
 * changes. Shows queues, memory and latencies as they are, and what urgency was worth at the end.
 *   many_clients MODEL.gguf [clients] [rounds]
 * Read examples/many_requests first. */
#define _POSIX_C_SOURCE 200809L
#include <fastserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLIENTS_MAX = 256, PLACES = 4, URGENT_EVERY = 8, LATENCIES_MAX = 4096 };
enum kind { CHAT, URGENT, KINDS };

struct latencies {
  double first_token_ms[LATENCIES_MAX];
  size_t count;
};

struct hall {
  fsv_engine* engine;
  fsv_model* model;
  unsigned rounds_left[CLIENTS_MAX];
  unsigned asked, open, answered, expected;
  unsigned budget_changes;
  struct latencies of[KINDS];
  int failed;
};

static int failed(struct hall* hall, const char* what, fsv_status status, const fsv_error* error) {
  if (status == FSV_OK) return 0;
  fprintf(stderr, "%s: %s: %s\n", what, fsv_status_name(status), error->message);
  return hall->failed = 1;
}

/* `client` comes back in every event; URGENT questions stand outside of all chats. */
static void ask(struct hall* hall, enum kind kind, unsigned client) {
  static const char* const questions[] = {"Tell me a story about the sea.", "What is 2 + 2?", "Explain how rain forms.",
                                          "Name a colour."};
  static const unsigned tokens[] = {96, 8, 64, 8};
  fsv_error error;
  fsv_chat_message message = {"user", SIZE_MAX, questions[hall->asked % 4], SIZE_MAX};
  fsv_chat chat;
  fsv_chat_init(&chat, sizeof(chat));
  chat.messages = &message;
  chat.message_count = 1;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.max_tokens = kind == URGENT ? 12 : tokens[hall->asked % 4];
  config.priority = kind == URGENT ? 1 : 0;
  config.tenant = client;
  config.user_data = ((uint64_t)kind << 32) | client;
  fsv_request request = 0;
  if (failed(hall, "ask", fsv_submit_chat(hall->engine, hall->model, &chat, &config, &request, &error), &error)) return;
  ++hall->asked;
  ++hall->open;
}

static void take(struct hall* hall, const fsv_event* event) {
  if (event->type != FSV_EVENT_FINISHED) return;
  const enum kind kind = event->user_data >> 32 != 0 ? URGENT : CHAT;
  const unsigned client = (unsigned)(event->user_data & 0xFFFFFFFFU);
  struct latencies* latencies = &hall->of[kind];
  --hall->open;
  ++hall->answered;
  if (latencies->count < LATENCIES_MAX)
    latencies->first_token_ms[latencies->count++] = (double)event->first_token_us / 1e3;
  if (kind == URGENT) return;
  if (--hall->rounds_left[client] > 0) ask(hall, CHAT, client);
  if (hall->asked % URGENT_EVERY == 0) ask(hall, URGENT, client);
}

/* After a third of the chats' answers the engine keeps a quarter of what it has above the least that it needs; after
 * two thirds it may have all again. */
static void change_budget(struct hall* hall, int is_terminal) {
  if (hall->budget_changes >= 2 || 3 * hall->answered < (hall->budget_changes + 1) * hall->expected) return;
  fsv_error error;
  fsv_memory_stats memory;
  fsv_memory_stats_init(&memory, sizeof(memory));
  if (fsv_memory_get_stats(hall->engine, &memory, NULL) != FSV_OK) return;
  uint64_t budget = 0;
  if (hall->budget_changes == 0) {
    budget = memory.floor_bytes;
    if (memory.used_bytes > memory.floor_bytes) budget += (memory.used_bytes - memory.floor_bytes) / 4;
  }
  const fsv_status status = fsv_memory_set_budget(hall->engine, budget, &error);
  if (status == FSV_ERROR_BUDGET_TOO_SMALL)
    return; /* a longer request has come meanwhile: again after the next answer */
  if (failed(hall, "budget", status, &error)) return;
  ++hall->budget_changes;
  if (budget != 0) {
    printf("%sthe host takes memory: %.1f MiB of %.1f are left to the engine\n", is_terminal ? "\r\033[K" : "",
           (double)budget / 1048576, (double)memory.used_bytes / 1048576);
  } else {
    printf("%sthe host gives it back\n", is_terminal ? "\r\033[K" : "");
  }
}

static void show(struct hall* hall, int is_terminal) {
  fsv_metrics metrics;
  fsv_memory_stats memory;
  fsv_metrics_init(&metrics, sizeof(metrics));
  fsv_memory_stats_init(&memory, sizeof(memory));
  if (fsv_metrics_snapshot(hall->engine, &metrics, NULL) != FSV_OK) return;
  if (fsv_memory_get_stats(hall->engine, &memory, NULL) != FSV_OK) return;
  printf(
      "%s%3u waiting %3u running %4llu done | %.1f MiB, KV %6.1f of %.1f | %llu tokens, mean batch %.1f | dropped "
      "%llu%s",
      is_terminal ? "\r" : "", metrics.queued_requests, metrics.running_requests,
      (unsigned long long)metrics.finished_requests, (double)memory.used_bytes / 1048576,
      (double)memory.kv_block_bytes_used / 1048576, (double)memory.kv_bytes / 1048576,
      (unsigned long long)metrics.decode_tokens,
      metrics.steps != 0 ? (double)metrics.batch_rows_total / (double)metrics.steps : 0.0,
      (unsigned long long)metrics.dropped_requests, is_terminal ? "\033[K" : "\n");
  fflush(stdout);
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void report(const char* name, struct latencies* latencies) {
  if (latencies->count == 0) return;
  qsort(latencies->first_token_ms, latencies->count, sizeof(double), compare);
  printf("%-8s %4zu answers, first token after %8.1f ms (median), %8.1f ms (worst)\n", name, latencies->count,
         latencies->first_token_ms[latencies->count / 2], latencies->first_token_ms[latencies->count - 1]);
}

static void run(struct hall* hall, unsigned clients) {
  const int is_terminal = isatty(STDOUT_FILENO);
  fsv_error error;
  for (unsigned client = 0; client < clients && !hall->failed; ++client) ask(hall, CHAT, client);
  unsigned shown = 0;
  while (hall->open > 0 && !hall->failed) {
    fsv_event events[32];
    size_t count = 0;
    (void)fsv_wait(hall->engine, 250000, NULL);
    if (failed(hall, "poll", fsv_poll(hall->engine, events, sizeof events[0], 32, &count, &error), &error)) return;
    for (size_t i = 0; i < count && !hall->failed; ++i) take(hall, &events[i]);
    change_budget(hall, is_terminal);
    if (is_terminal || shown++ % 64 == 0) show(hall, is_terminal);
  }
  show(hall, is_terminal);
  printf("\n");
  report("chats", &hall->of[CHAT]);
  report("urgent", &hall->of[URGENT]);
}

int main(int argc, char** argv) {
  static struct hall hall;
  fsv_error error;
  if (argc < 2) {
    fprintf(stderr, "usage: %s MODEL.gguf [clients] [rounds]\n", argv[0]);
    return 2;
  }
  const unsigned wanted = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 32;
  const unsigned clients = wanted == 0 ? 1 : wanted < CLIENTS_MAX ? wanted : CLIENTS_MAX;
  const unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 3;
  for (unsigned client = 0; client < clients; ++client) hall.rounds_left[client] = rounds > 0 ? rounds : 1;
  hall.expected = clients * (rounds > 0 ? rounds : 1);

  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.max_sequences = PLACES;
  config.context_tokens = 512;
  if (failed(&hall, "engine", fsv_engine_create(&config, &hall.engine, &error), &error)) return 1;
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = argv[1];
  load.path_size = SIZE_MAX;
  fsv_ticket ticket = 0;
  if (!failed(&hall, "load", fsv_model_load(hall.engine, &load, &ticket, &error), &error) &&
      !failed(&hall, "load", fsv_ticket_wait(hall.engine, ticket, UINT64_MAX, &error), &error) &&
      !failed(&hall, "load", fsv_ticket_take_model(hall.engine, ticket, &hall.model, &error), &error)) {
    run(&hall, clients);
  }
  (void)fsv_model_release(hall.model, NULL);
  (void)fsv_engine_release(hall.engine, NULL);
  return hall.failed;
}
