/* Sixteen characters of a town, each with a session of its own. What all of them know is read once and forked; each
 * turn computes only what is new; who stands near the player is answered first.
 *
 * usage: npc_town MODEL.gguf [ROUNDS]   (default 4) */
#include <fastserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHARACTERS 16
#define ROUNDS_MAX 8
#define LINE_CAPACITY 512
#define ANSWER_TOKENS 24

static const char town[] =
    "You are one of the people of Harrowgate, a walled town by a cold river. The mill burned down in spring and nobody "
    "knows why. The baron raised the toll at the bridge, and the market has been half empty since. A wolf was seen "
    "near "
    "the chapel. Strangers are rare and are asked where they come from. The inn is called the Lantern. People here "
    "are short of words, proud, and kind once they trust you. You speak as your character, in one short sentence, and "
    "you never say that you are a machine.";

struct home {
  const char* name;
  const char* trade;
  int x, y; /* on the town's map, in steps */
};

static const struct home homes[CHARACTERS] = {
    {"Mira", "baker", 2, 1},       {"Oswin", "gate guard", 0, 9}, {"Tilda", "innkeeper", 4, 4},
    {"Bram", "smith", 7, 2},       {"Ysolde", "weaver", 9, 9},    {"Corin", "ferryman", 14, 3},
    {"Hild", "healer", 5, 11},     {"Pell", "beggar", 3, 2},      {"Garrick", "miller", 12, 12},
    {"Anwen", "shepherd", 15, 15}, {"Tobin", "stable boy", 6, 5}, {"Sela", "fishwife", 13, 1},
    {"Old Marn", "priest", 8, 13}, {"Rook", "thief", 1, 6},       {"Edda", "brewer", 10, 5},
    {"Jory", "toll keeper", 11, 7}};

/* A talk that goes on as long as the town stands. */
static struct character {
  fsv_session* session;
  fsv_request request;                      /* 0: silent */
  char said[2 * ROUNDS_MAX][LINE_CAPACITY]; /* player, character, player, ... */
  size_t said_count;
} people[CHARACTERS];

static const char* const questions[] = {"Good day. Who are you?", "What happened to the mill?",
                                        "Have you seen the wolf?", "Where can I sleep tonight?"};

static int failed(const char* what, fsv_status status, const fsv_error* error) {
  if (status != FSV_OK) fprintf(stderr, "%s: %s: %s\n", what, fsv_status_name(status), error->message);
  return status != FSV_OK;
}

static fsv_model* load_model(fsv_engine* engine, const char* path) {
  fsv_error error;
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = path;
  config.path_size = SIZE_MAX;
  fsv_ticket ticket = 0;
  fsv_model* model = NULL;
  if (failed("load", fsv_model_load(engine, &config, &ticket, &error), &error)) return NULL;
  fsv_ticket_wait(engine, ticket, UINT64_MAX, NULL);
  failed("load", fsv_ticket_take_model(engine, ticket, &model, &error), &error);
  return model; /* NULL if it failed */
}

/* Queues what follows from `messages` in a session. With max_tokens 0 the messages are only read. */
static fsv_request speak(fsv_engine* engine, fsv_session* session, const fsv_chat_message* messages, size_t count,
                         uint32_t max_tokens, int32_t priority, uint64_t user_data) {
  fsv_error error;
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0.7f;
  sampling.top_p = 0.9f;
  sampling.seed = 1 + user_data;
  fsv_chat chat;
  fsv_chat_init(&chat, sizeof(chat));
  chat.flags = max_tokens > 0 ? FSV_CHAT_ADD_GENERATION_PROMPT : 0;
  chat.messages = messages;
  chat.message_count = count;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.max_tokens = max_tokens;
  config.sampling = &sampling;
  config.session = session; /* of the whole conversation only what the session does not have is computed */
  config.priority = priority;
  config.user_data = user_data;
  fsv_request request = 0;
  failed("submit", fsv_submit_chat(engine, NULL, &chat, &config, &request, &error), &error);
  return request; /* 0 if it failed */
}

static void add_line(struct character* person, const char* text) {
  snprintf(person->said[person->said_count++], LINE_CAPACITY, "%s", text);
}

/* Text comes in pieces; a line keeps what fits. */
static void append(char* line, const char* text, size_t size) {
  size_t used = strlen(line);
  size_t room = LINE_CAPACITY - 1 - used;
  if (size > room) size = room;
  if (size > 0) memcpy(line + used, text, size);
  line[used + size] = '\0';
}

static int distance(uint64_t index, int x, int y) { return abs(homes[index].x - x) + abs(homes[index].y - y); }

static int ask(fsv_engine* engine, uint64_t index, const char* question, int steps_away) {
  struct character* person = &people[index];
  char first[LINE_CAPACITY];
  if (person->said_count == 0) {
    snprintf(first, sizeof first, "You are %s, the %s. A stranger comes up to you and says: %s", homes[index].name,
             homes[index].trade, question);
    question = first;
  }
  add_line(person, question);
  fsv_chat_message messages[1 + 2 * ROUNDS_MAX] = {{"system", SIZE_MAX, town, SIZE_MAX}};
  for (size_t i = 0; i < person->said_count; ++i) {
    fsv_chat_message message = {i % 2 == 0 ? "user" : "assistant", SIZE_MAX, person->said[i], SIZE_MAX};
    messages[1 + i] = message;
  }
  person->request = speak(engine, person->session, messages, 1 + person->said_count, ANSWER_TOKENS, -steps_away, index);
  add_line(person, ""); /* the answer grows here */
  return person->request == 0;
}

/* Takes events until nobody has anything left to say; prints each answer when it is complete. */
static int listen(fsv_engine* engine, int talking, int x, int y, uint64_t* reused, uint64_t* read) {
  fsv_error error;
  while (talking > 0) {
    fsv_event events[32];
    size_t count = 0;
    if (failed("wait", fsv_wait(engine, UINT64_MAX, &error), &error)) return 1;
    if (failed("poll", fsv_poll(engine, events, sizeof events[0], 32, &count, &error), &error)) return 1;
    for (size_t i = 0; i < count; ++i) {
      const fsv_event* event = &events[i];
      if (event->user_data >= CHARACTERS || people[event->user_data].request != event->request) continue;
      struct character* person = &people[event->user_data];
      char* line = person->said[person->said_count - 1];
      append(line, event->text, event->text_size);
      if (event->type != FSV_EVENT_FINISHED) continue;
      --talking;
      if (event->status != FSV_OK) {
        fprintf(stderr, "%s: %.*s\n", homes[event->user_data].name, (int)event->message_size, event->message);
        return 1;
      }
      *reused += event->cached_token_count;
      *read += event->prompt_token_count;
      for (char* c = line; *c != '\0'; ++c) {
        if (*c == '\n') *c = ' ';
      }
      printf("  %-9s %2d steps | %3u of %3u tokens reused | first word %4.0f ms, all %5.0f ms | %s\n",
             homes[event->user_data].name, distance(event->user_data, x, y), (unsigned)event->cached_token_count,
             (unsigned)event->prompt_token_count, (double)event->first_token_us / 1e3, (double)event->total_us / 1e3,
             line);
    }
  }
  return 0;
}

/* The town is read once; every character begins as a fork of it, which costs neither time nor memory. */
static int settle_town(fsv_engine* engine, fsv_model* model) {
  fsv_error error;
  fsv_session* common = NULL;
  if (failed("session", fsv_session_create(engine, model, &common, &error), &error)) return 1;
  fsv_chat_message message = {"system", SIZE_MAX, town, SIZE_MAX};
  int result = speak(engine, common, &message, 1, 0, 0, CHARACTERS) == 0;
  for (uint32_t type = 0; !result && type != FSV_EVENT_FINISHED;) {
    fsv_event event;
    size_t count = 0;
    if (failed("wait", fsv_wait(engine, UINT64_MAX, &error), &error)) return 1;
    if (failed("poll", fsv_poll(engine, &event, sizeof event, 1, &count, &error), &error)) return 1;
    if (count == 0 || event.user_data != CHARACTERS) continue; /* the load's own events come this way too */
    type = event.type;
  }
  for (int i = 0; i < CHARACTERS && !result; ++i) {
    result = failed("fork", fsv_session_fork(common, SIZE_MAX, &people[i].session, &error), &error);
  }
  fsv_session_info info;
  fsv_session_info_init(&info, sizeof(info));
  if (!result && fsv_session_get_info(common, &info, NULL) == FSV_OK) {
    printf("the town: %u tokens, read once for %d characters, %.2f MB of KV in all\n", (unsigned)info.token_count,
           CHARACTERS, (double)info.kv_bytes / 1e6);
  }
  fsv_session_release(common, NULL);
  return result;
}

static void print_memory(fsv_engine* engine, uint64_t reused, uint64_t read) {
  fsv_memory_stats memory;
  fsv_memory_stats_init(&memory, sizeof(memory));
  if (fsv_memory_get_stats(engine, &memory, NULL) != FSV_OK) return;
  printf("\n%llu of %llu prompt tokens reused; %u sessions hold %.2f MB of KV, %.2f MB if nothing were shared\n",
         (unsigned long long)reused, (unsigned long long)read, (unsigned)memory.session_count,
         (double)memory.kv_block_bytes_used / 1e6, (double)memory.session_kv_bytes / 1e6);
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: npc_town MODEL.gguf [ROUNDS]\n"), 2;
  int rounds = argc > 2 ? atoi(argv[2]) : 4;
  if (rounds < 1 || rounds > ROUNDS_MAX) return fprintf(stderr, "ROUNDS: 1 to %d\n", ROUNDS_MAX), 2;
  fsv_error error;
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.context_tokens = 1024;
  config.max_sequences = 4; /* answers at a time: the others wait, the farthest longest */
  fsv_engine* engine = NULL;
  if (failed("engine", fsv_engine_create(&config, &engine, &error), &error)) return 1;
  fsv_model* model = load_model(engine, argv[1]);
  int result = model == NULL || settle_town(engine, model);

  uint64_t reused = 0, read = 0;
  for (int round = 0; round < rounds && !result; ++round) {
    int x = 2 + 4 * round, y = 2 + 3 * round; /* the player walks through the town; who is near enough hears */
    const char* question = questions[round % 4];
    printf("\n\"%s\" (at %d, %d)\n", question, x, y);
    fsv_engine_pause(engine, NULL); /* all ask at once */
    int talking = 0;
    for (uint64_t i = 0; i < CHARACTERS && !result; ++i) {
      int steps_away = distance(i, x, y);
      people[i].request = 0;
      if (steps_away > 10) continue;
      result = ask(engine, i, question, steps_away);
      ++talking;
    }
    fsv_engine_resume(engine, NULL);
    if (!result) result = listen(engine, talking, x, y, &reused, &read);
  }
  if (!result) print_memory(engine, reused, read);
  for (int i = 0; i < CHARACTERS; ++i) {
    if (people[i].session != NULL) fsv_session_release(people[i].session, NULL);
  }
  if (model != NULL) fsv_model_release(model, NULL);
  fsv_engine_release(engine, NULL);
  return result;
}
