/* The smallest program: load a model, ask one question, print the answer as it comes. */
#include <fastserve.h>
#include <stdio.h>

/* Every call returns a status; on failure `error` says what and where. */
static int failed(fsv_status status, const fsv_error* error) {
  if (status != FSV_OK) fprintf(stderr, "%s: %s\n", fsv_status_name(status), error->message);
  return status != FSV_OK;
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: hello MODEL.gguf [QUESTION]\n"), 2;
  const char* question = argc > 2 ? argv[2] : "What is the capital of France?";
  fsv_error error;

  /* An engine computes on threads of its own; NULL takes every default. */
  fsv_engine* engine = NULL;
  if (failed(fsv_engine_create(NULL, &engine, &error), &error)) return 1;

  /* Loading goes on in the background under a ticket; here there is nothing better to do than wait. */
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = argv[1];
  load.path_size = SIZE_MAX; /* NUL-terminated */
  fsv_ticket ticket = 0;
  fsv_model* model = NULL;
  if (failed(fsv_model_load(engine, &load, &ticket, &error), &error)) return 1;
  fsv_ticket_wait(engine, ticket, UINT64_MAX, NULL); /* if the load failed, take_model says why */
  if (failed(fsv_ticket_take_model(engine, ticket, &model, &error), &error)) return 1;

  /* The model's chat template turns the question into the token ids that it was trained on. */
  fsv_chat_message messages[] = {{"system", SIZE_MAX, "You are a helpful assistant.", SIZE_MAX},
                                 {"user", SIZE_MAX, question, SIZE_MAX}};
  int32_t prompt[4096];
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0; /* always the most likely token */
  fsv_generate_config generate;
  fsv_generate_config_init(&generate, sizeof(generate));
  generate.token_ids = prompt;
  generate.max_tokens = 128;
  generate.sampling = &sampling;
  fsv_request request = 0;
  fsv_status status = fsv_chat_tokenize(model, messages, 2, FSV_CHAT_ADD_GENERATION_PROMPT, prompt, 4096,
                                        &generate.token_count, &error);
  if (failed(status, &error)) return 1;
  if (failed(fsv_submit_generate(engine, model, &generate, &request, &error), &error)) return 1;

  /* Results are pulled: wait until there are events, take them, print their text. FINISHED is the last one. */
  for (uint32_t type = 0; type != FSV_EVENT_FINISHED;) {
    fsv_event event;
    size_t count = 0;
    if (failed(fsv_wait(engine, UINT64_MAX, &error), &error)) return 1;
    if (failed(fsv_poll(engine, &event, sizeof event, 1, &count, &error), &error)) return 1;
    if (count == 0 || event.request != request) continue; /* the load's own events come this way too */
    fwrite(event.text, 1, event.text_size, stdout);
    fflush(stdout);
    type = event.type;
  }
  printf("\n");
  fsv_model_release(model, NULL);
  return failed(fsv_engine_release(engine, &error), &error);
}
