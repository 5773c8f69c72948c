// POSIX: threads, and waiting on a word. Linux where POSIX is silent.
#ifndef _WIN32
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <new>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

#include "base/format.h"
#include "base/os.h"
#include "base/os_posix_errors.h"

namespace fastserve::os {

struct Thread::Handle {
  pthread_t thread;
  void (*entry)(void*);
  void* argument;
  char name[16];
  ThreadPriority priority;
};

namespace {

#ifdef __linux__
// Lowers the calling thread alone: on Linux niceness is the thread's. A refusal leaves it as it is.
void lower_priority(ThreadPriority priority) noexcept {
  constexpr int kNice[] = {0, 10, 19};
  if (priority == ThreadPriority::kNormal) return;
  const auto self = static_cast<id_t>(::syscall(SYS_gettid));
  ::setpriority(PRIO_PROCESS, self, std::max(::getpriority(PRIO_PROCESS, self), kNice[static_cast<int>(priority)]));
}

int set_affinity(pthread_attr_t* attributes, const std::vector<uint32_t>& cpus) {
  if (cpus.empty()) return 0;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const uint32_t cpu : cpus) {
    if (cpu >= CPU_SETSIZE) return EINVAL;
    CPU_SET(cpu, &set);
  }
  return ::pthread_attr_setaffinity_np(attributes, sizeof(set), &set);
}
#else
void lower_priority(ThreadPriority) noexcept {}
int set_affinity(pthread_attr_t*, const std::vector<uint32_t>&) { return 0; }  // no such notion, or only a hint
#endif

void* run_thread(void* raw) {
  auto* self = static_cast<Thread::Handle*>(raw);
#ifdef __linux__
  ::pthread_setname_np(::pthread_self(), self->name);
#endif
  lower_priority(self->priority);
  self->entry(self->argument);
  return nullptr;
}

// The thread inherits the signal mask of its creator: the host's handlers never run on our threads.
int create_thread(const pthread_attr_t* attributes, Thread::Handle* handle) {
  sigset_t all, previous;
  ::sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::sigdelset(&all, fault);  // blocked, these would kill
  ::pthread_sigmask(SIG_SETMASK, &all, &previous);
  const int number = ::pthread_create(&handle->thread, attributes, run_thread, handle);
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  return number;
}

}  // namespace

Thread::Thread(Thread&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
Thread& Thread::operator=(Thread&& other) noexcept {
  if (this != &other) {
    join();
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}
Thread::~Thread() { join(); }

Result<Thread> Thread::start(const char* name, void (*entry)(void*), void* argument, const ThreadSettings& settings) {
  constexpr size_t kStackBytes = size_t{1} << 20;
  auto* handle = new (std::nothrow) Handle{};
  if (handle == nullptr) return Status::out_of_memory();
  handle->entry = entry;
  handle->argument = argument;
  std::strncpy(handle->name, name, sizeof(handle->name) - 1);
  handle->priority = settings.priority;

  pthread_attr_t attributes;
  int number = ::pthread_attr_init(&attributes);
  if (number == 0) {
    ::pthread_attr_setstacksize(&attributes, kStackBytes);
    number = set_affinity(&attributes, settings.cpus);
    if (number == 0) number = create_thread(&attributes, handle);
    ::pthread_attr_destroy(&attributes);
  }
  if (number != 0) {
    delete handle;
    if (number == EINVAL && !settings.cpus.empty()) {
      return Status::from_literal(StatusCode::kInvalidArgument, "none of the CPUs given may be used by this process");
    }
    return Status(StatusCode::kOutOfMemory, format("cannot start the thread \"", name, "\": ", error_text(number)));
  }
  Thread thread;
  thread.handle_ = handle;
  return thread;
}

void Thread::join() noexcept {
  if (handle_ == nullptr) return;
  ::pthread_join(handle_->thread, nullptr);
  delete handle_;
  handle_ = nullptr;
}

#ifdef __linux__
void wait_on_word(const uint32_t* word, uint32_t expected) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void wake_all_on_word(const uint32_t* word) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}
#else
void wait_on_word(const uint32_t* word, uint32_t expected) noexcept {
  std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(word)).wait(expected, std::memory_order_acquire);
}
void wake_all_on_word(const uint32_t* word) noexcept {
  std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(word)).notify_all();
}
#endif

}  // namespace fastserve::os
#endif  // !_WIN32
