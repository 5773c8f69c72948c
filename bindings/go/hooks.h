// What the library calls in Go. Contexts are numbers of runtime/cgo, in the clothes of pointers.
#include "handles.h"

void goLog(uintptr_t context, int32_t level, char* message, size_t size);
fsv_status goWrite(uintptr_t context, void* data, size_t size);

static inline void go_receive_log(void* context, int32_t level, const char* message, size_t size) {
  goLog((uintptr_t)context, level, (char*)message, size);
}
static inline void go_set_log(fsv_engine_config* config, uintptr_t context) {
  config->log = go_receive_log;
  config->log_user = (void*)context;
}
static inline fsv_status go_write(void* context, const void* data, size_t size, uint64_t total) {
  (void)total;
  return goWrite((uintptr_t)context, (void*)data, size);
}
static inline fsv_status go_session_export(uintptr_t session, uintptr_t context, fsv_error* error) {
  return fsv_session_export((fsv_session*)session, 0, go_write, (void*)context, error);
}
