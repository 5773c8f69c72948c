// Text in and out of the commands: output, notes, failures, input files, and readable numbers.
#ifndef FASTSERVE_CLI_CONSOLE_H
#define FASTSERVE_CLI_CONSOLE_H

#include <cstdint>
#include <string>
#include <string_view>

#include "exit_code.h"

namespace fastserve::cli {

// To standard output, at once: an answer that streams is seen as it comes.
void print(std::string_view text);
// One line to standard error.
void note(std::string_view line);
// A failure: a line on standard error and, with `json`, an object {"error": {...}} on standard output.
void report(const Failure& failure, bool json);

// A whole file; "-" is standard input. Throws Failure with kExitFile.
std::string read_input(const std::string& path);
// Writes a whole file. Throws Failure with kExitFile.
void write_output(const std::string& path, std::string_view content);

// "12.3", "98.1 MB": for people, with a point whatever the locale.
std::string decimal(double number, int digits);
std::string bytes_text(uint64_t bytes);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_CONSOLE_H
