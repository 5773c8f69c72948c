// Terminals and Ctrl-C on Windows.
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <windows.h>

#include <atomic>

#include "exit_code.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

std::atomic<int> interrupt_count{0};

BOOL WINAPI on_interrupt(DWORD kind) {
  if (kind != CTRL_C_EVENT) return FALSE;
  if (interrupt_count.fetch_add(1) > 0) TerminateProcess(GetCurrentProcess(), kExitInterrupted);
  return TRUE;
}

}  // namespace

void terminal_prepare() {
  SetConsoleOutputCP(CP_UTF8);
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
}

bool stdin_is_terminal() { return _isatty(_fileno(stdin)) != 0; }

bool stderr_is_terminal() { return _isatty(_fileno(stderr)) != 0; }

int stderr_columns() {
  CONSOLE_SCREEN_BUFFER_INFO info;
  if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &info)) return 80;
  return info.srWindow.Right - info.srWindow.Left + 1;
}

void catch_interrupts() { SetConsoleCtrlHandler(on_interrupt, TRUE); }

bool interrupted() { return interrupt_count.load() > 0; }

void forget_interrupts() { interrupt_count.store(0); }

}  // namespace fastserve::cli
