/* Three models load while the program shows their progress; the third is not wanted after all. First it asks whether
 * they fit, and the one that is needed soonest goes first.
 *   preload MODEL.gguf [MODEL2.gguf [MODEL3.gguf]]
 * Read examples/hello first. */
#include <fastserve.h>
#include <stdio.h>

enum { LOADS = 3, UNWANTED = 2 };

struct load {
  const char* path;
  fsv_ticket ticket;
  fsv_model* model;
  int percent;
  const char* state;
};

static int failed(const char* what, fsv_status status, const fsv_error* error) {
  if (status != FSV_OK) fprintf(stderr, "%s: %s: %s\n", what, fsv_status_name(status), error->message);
  return status != FSV_OK;
}

/* Loads of one file share a model; asking for another weight type makes them three for this demonstration. */
static void describe(const struct load* load, int index, fsv_load_config* config) {
  fsv_load_config_init(config, sizeof(*config));
  config->path = load->path;
  config->path_size = SIZE_MAX;
  config->flags = index == 0 ? FSV_LOAD_WARM_UP : 0; /* its first answer should come at once */
  config->load_dtype = index == 0 ? FSV_DTYPE_STORED : index == 1 ? FSV_DTYPE_Q8_0 : FSV_DTYPE_BF16;
  config->priority = LOADS - index;
  config->user_data = (uint64_t)index;
}

static int show_estimate(const struct load* load, int index, const fsv_engine_config* engine_config) {
  fsv_error error;
  fsv_load_config config;
  fsv_memory_estimate estimate;
  describe(load, index, &config);
  fsv_memory_estimate_init(&estimate, sizeof(estimate));
  if (failed("estimate", fsv_model_estimate(&config, engine_config, &estimate, &error), &error)) return 1;
  printf(
      "model %d will take %.0f MB: weights %.0f, KV %.0f, activations %.0f, tokenizer %.0f; %.0f MB while it loads\n",
      index, (double)estimate.total_bytes / 1e6, (double)estimate.weight_bytes / 1e6, (double)estimate.kv_bytes / 1e6,
      (double)estimate.activation_bytes / 1e6, (double)estimate.other_bytes / 1e6, (double)estimate.peak_bytes / 1e6);
  return 0;
}

/* One line when something has changed, and at every tenth of a load. */
static void show(const struct load* loads) {
  static int shown[LOADS];
  int changed = 0;
  for (int i = 0; i < LOADS; ++i) {
    int now = loads[i].percent / 10 * 256 + loads[i].state[0];
    changed |= shown[i] != now;
    shown[i] = now;
  }
  if (!changed) return;
  for (int i = 0; i < LOADS; ++i) printf("[%d] %3d%% %-10s", i, loads[i].percent, loads[i].state);
  printf("\n");
}

/* Takes one event of a load; 1 when the load is over. */
static int take(fsv_engine* engine, struct load* load, const fsv_event* event) {
  fsv_error error;
  if (event->bytes_total > 0) load->percent = (int)(event->bytes_done * 100 / event->bytes_total);
  load->state = "loading";
  if (event->type != FSV_EVENT_LOAD_FINISHED) return 0;
  load->state =
      failed("load", fsv_ticket_take_model(engine, load->ticket, &load->model, &error), &error) ? "failed" : "ready";
  return 1;
}

static int run(fsv_engine* engine, struct load* loads) {
  fsv_error error;
  for (int i = 0; i < LOADS; ++i) {
    fsv_load_config config;
    describe(&loads[i], i, &config);
    if (failed("load", fsv_model_load(engine, &config, &loads[i].ticket, &error), &error)) return 1;
  }
  int open = LOADS;
  while (open > 0) {
    if (loads[0].model != NULL && loads[UNWANTED].model == NULL && loads[UNWANTED].ticket != 0) {
      /* In the middle of its work or still queued: nothing of it stays, and no event follows. */
      if (fsv_ticket_cancel(engine, loads[UNWANTED].ticket, NULL) == FSV_OK) {
        loads[UNWANTED].state = "cancelled";
        --open;
      }
      loads[UNWANTED].ticket = 0;
      continue;
    }
    if (failed("wait", fsv_wait(engine, UINT64_MAX, &error), &error)) return 1;
    fsv_event events[8];
    size_t count = 0;
    if (failed("poll", fsv_poll(engine, events, sizeof events[0], 8, &count, &error), &error)) return 1;
    for (size_t i = 0; i < count; ++i) {
      if (events[i].user_data < LOADS) open -= take(engine, &loads[events[i].user_data], &events[i]);
    }
    show(loads);
  }
  show(loads);
  return loads[0].model == NULL || loads[1].model == NULL;
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: preload MODEL.gguf [MODEL2.gguf [MODEL3.gguf]]\n"), 2;
  fsv_error error;
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.context_tokens = 1024;
  config.max_sequences = 4;
  struct load loads[LOADS];
  for (int i = 0; i < LOADS; ++i) {
    loads[i] = (struct load){argv[i + 1 < argc ? i + 1 : 1], 0, NULL, 0, "queued"};
    if (show_estimate(&loads[i], i, &config)) return 1;
  }
  fsv_engine* engine = NULL;
  if (failed("engine", fsv_engine_create(&config, &engine, &error), &error)) return 1;
  int result = run(engine, loads);
  fsv_memory_stats memory;
  fsv_memory_stats_init(&memory, sizeof(memory));
  if (fsv_memory_get_stats(engine, &memory, NULL) == FSV_OK) {
    printf("%u models in %.0f MB; at most %.0f MB while loading\n", (unsigned)memory.model_count,
           (double)memory.used_bytes / 1e6, (double)memory.peak_bytes / 1e6);
  }
  for (int i = 0; i < LOADS; ++i) {
    if (loads[i].model != NULL) fsv_model_release(loads[i].model, NULL);
  }
  fsv_engine_release(engine, NULL);
  return result;
}
