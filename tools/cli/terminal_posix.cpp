// Terminals and Ctrl-C on POSIX systems.
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>

#include "exit_code.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

std::atomic<int> interrupt_count{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

void on_interrupt(int) {
  if (interrupt_count.fetch_add(1) > 0) _exit(kExitInterrupted);
}

}  // namespace

void terminal_prepare() {}

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

int stderr_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return interrupt_count.load() > 0; }

void forget_interrupts() { interrupt_count.store(0); }

}  // namespace fastserve::cli
