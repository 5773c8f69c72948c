/* A game's loop at 60 Hz: 16.7 ms a frame, of which the engine gets 2 ms. The library has no threads here; the model
 * loads and characters think inside fsv_engine_step, on this thread. Prints what that does to frame times.
 *   game_loop MODEL.gguf [seconds]
 * Read examples/hello first. */
#define _POSIX_C_SOURCE 200809L
#include <fastserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES_PER_SECOND = 60, ENGINE_US = 2000, GAME_US = 6000, CHARACTERS = 4, FRAMES_MAX = 60 * 600 };

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void sleep_until(double when_ms) {
  double left = when_ms - now_ms();
  if (left <= 0) return;
  struct timespec pause = {(time_t)(left / 1e3), (long)(left * 1e6) % 1000000000L};
  nanosleep(&pause, NULL);
}

/* Stands for physics and drawing. */
static void run_game_logic(void) {
  volatile double energy = 0;
  for (double end = now_ms() + GAME_US / 1e3; now_ms() < end;) energy = energy + 1;
}

struct town {
  fsv_engine* engine;
  fsv_model* model;
  fsv_ticket ticket;
  unsigned thinking;  /* characters whose answer is not finished */
  unsigned questions; /* asked so far */
  unsigned long long tokens;
  int failed;
};

static int failed(struct town* town, const char* what, fsv_status status, const fsv_error* error) {
  if (status == FSV_OK) return 0;
  fprintf(stderr, "%s: %s: %s\n", what, fsv_status_name(status), error->message);
  return town->failed = 1;
}

static void ask(struct town* town) {
  static const char* const questions[] = {"Who goes there?", "What do you sell?", "Tell me a tale of dragons.",
                                          "Which way is the castle?"};
  fsv_error error;
  fsv_chat_message messages[2] = {{"system", SIZE_MAX, "You are a villager in a small town.", SIZE_MAX},
                                  {"user", SIZE_MAX, questions[town->questions % 4], SIZE_MAX}};
  fsv_chat chat;
  fsv_chat_init(&chat, sizeof(chat));
  chat.messages = messages;
  chat.message_count = 2;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.max_tokens = 48;
  fsv_request request = 0;
  if (failed(town, "ask", fsv_submit_chat(town->engine, town->model, &chat, &config, &request, &error), &error)) return;
  ++town->questions;
  ++town->thinking;
}

/* What the game does for its characters in a frame: give the engine its time, take what came of it, ask again. */
static void run_characters(struct town* town) {
  fsv_error error;
  uint32_t more = 0;
  if (failed(town, "step", fsv_engine_step(town->engine, ENGINE_US, &more, &error), &error)) return;
  fsv_event events[16];
  size_t count = 0;
  if (failed(town, "poll", fsv_poll(town->engine, events, sizeof events[0], 16, &count, &error), &error)) return;
  for (size_t i = 0; i < count; ++i) {
    if (events[i].type == FSV_EVENT_TOKENS) town->tokens += events[i].token_count;
    if (events[i].type == FSV_EVENT_FINISHED) --town->thinking;
    if (events[i].type == FSV_EVENT_LOAD_FINISHED) {
      if (failed(town, "load", fsv_ticket_take_model(town->engine, town->ticket, &town->model, &error), &error)) return;
    }
  }
  while (town->model != NULL && town->thinking < CHARACTERS && !town->failed) ask(town);
}

static int compare(const void* a, const void* b) {
  double difference = *(const double*)a - *(const double*)b;
  return (difference > 0) - (difference < 0);
}

/* Runs frames, with the engine or (town NULL) without, and prints how long their work took. */
static void run_frames(const char* name, struct town* town, int frames) {
  static double work_ms[FRAMES_MAX];
  const double frame_ms = 1000.0 / FRAMES_PER_SECOND;
  int late = 0;
  double next = now_ms();
  for (int i = 0; i < frames && (town == NULL || !town->failed); ++i) {
    double begin = now_ms();
    run_game_logic();
    if (town != NULL) run_characters(town);
    work_ms[i] = now_ms() - begin;
    late += work_ms[i] > frame_ms;
    next += frame_ms;
    if (next < now_ms()) next = now_ms(); /* a late frame moves those behind it */
    sleep_until(next);
  }
  qsort(work_ms, (size_t)frames, sizeof work_ms[0], compare);
  printf("%-20s work in a frame: P50 %.2f ms, P95 %.2f, P99 %.2f, max %.2f; %d of %d frames late\n", name,
         work_ms[frames / 2], work_ms[frames * 95 / 100], work_ms[frames * 99 / 100], work_ms[frames - 1], late,
         frames);
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: game_loop MODEL.gguf [seconds]\n"), 2;
  int frames = FRAMES_PER_SECOND * (argc > 2 ? atoi(argv[2]) : 10);
  if (frames < 60 || frames > FRAMES_MAX) frames = 600;
  fsv_error error;
  struct town town = {0};
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.mode = FSV_MODE_PUMPED;
  config.context_tokens = 1024;
  config.max_sequences = CHARACTERS;
  if (failed(&town, "engine", fsv_engine_create(&config, &town.engine, &error), &error)) return 1;

  run_frames("the game alone", NULL, frames);
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = argv[1];
  load.path_size = SIZE_MAX;
  load.flags = FSV_LOAD_WARM_UP;
  failed(&town, "load", fsv_model_load(town.engine, &load, &town.ticket, &error), &error);
  for (int rounds = 0; town.model == NULL && !town.failed && rounds < 20; ++rounds) {
    run_frames("while it loads", &town, 60);
  }
  run_frames("with the characters", &town, frames);
  printf("%u questions, %llu tokens: %.1f a second\n", town.questions, town.tokens,
         (double)town.tokens * FRAMES_PER_SECOND / frames);
  if (town.model != NULL) fsv_model_release(town.model, NULL);
  fsv_engine_release(town.engine, NULL);
  return town.failed || town.tokens == 0;
}
