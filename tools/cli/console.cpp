// Standard streams and number formatting for the commands.
#include "console.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "json_writer.h"

namespace fastserve::cli {

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void note(std::string_view line) {
  std::string text(line);
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void report(const Failure& failure, bool json) {
  note(std::string("fastserve: ") + failure.what());
  if (!json) return;
  JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.member("status", fsv_status_name(failure.status())).member("message", failure.what());
  out.member("exit_code", static_cast<int>(failure.code())).end_object().end_object();
  print(out.text() + "\n");
}

std::string read_input(const std::string& path) {
  const bool standard = path == "-";
  std::FILE* file = standard ? stdin : std::fopen(path.c_str(), "rb");
  if (!file) throw Failure(FSV_ERROR_IO, path + ": " + std::strerror(errno));
  std::string content;
  char chunk[65536];
  size_t got = 0;
  while ((got = std::fread(chunk, 1, sizeof chunk, file)) > 0) content.append(chunk, got);
  const bool failed = std::ferror(file) != 0;
  const int reason = errno;
  if (!standard) std::fclose(file);
  if (failed) throw Failure(FSV_ERROR_IO, (standard ? "standard input" : path) + ": " + std::strerror(reason));
  return content;
}

void write_output(const std::string& path, std::string_view content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file && std::fwrite(content.data(), 1, content.size(), file) == content.size();
  const int reason = errno;
  const bool closed = file && std::fclose(file) == 0;
  if (!written || !closed) throw Failure(FSV_ERROR_IO, path + ": " + std::strerror(written ? errno : reason));
}

std::string decimal(double number, int digits) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, digits);
  return end.ec == std::errc() ? std::string(text, end.ptr) : "?";
}

std::string bytes_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
  double amount = static_cast<double>(bytes);
  size_t unit = 0;
  while (amount >= 1000 && unit + 1 < std::size(kUnits)) {
    amount /= 1000;
    ++unit;
  }
  return decimal(amount, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

}  // namespace fastserve::cli
