// What the commands need from the operating system: terminals, Ctrl-C, whole files. One source file per system.
#ifndef FASTSERVE_CLI_TERMINAL_H
#define FASTSERVE_CLI_TERMINAL_H

#include <string>

namespace fastserve::cli {

// UTF-8 and untouched line ends on the standard streams, where the system does otherwise.
void terminal_prepare();

bool stdin_is_terminal();
// Is the standard error stream a terminal; its width in columns, 80 where unknown.
bool stderr_is_terminal();
int stderr_columns();

// From now on the first Ctrl-C is only noted (see interrupted), and a second one ends the process with code 130.
void catch_interrupts();
bool interrupted();
// What was noted has been dealt with: the next Ctrl-C is a first one again.
void forget_interrupts();

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_TERMINAL_H
