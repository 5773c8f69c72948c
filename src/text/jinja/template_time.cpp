// strftime without the C library: no locale, no environment, UTC.
#include "base/format.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

constexpr std::string_view kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                                        "July",    "August",   "September", "October", "November", "December"};
constexpr std::string_view kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

struct CivilTime {
  int64_t year;
  int month, day;  // from 1
  int hour, minute, second;
  int weekday;   // 0: Sunday
  int year_day;  // from 1
};

// Days from civil and back: H. Hinnant, "chrono-compatible low-level date algorithms".
CivilTime civil_from_unix(int64_t unix_seconds) {
  int64_t days = unix_seconds / 86400;
  int64_t rest = unix_seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    days -= 1;
  }
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);  // from March 1
  const int64_t month_index = (5 * day_of_year + 2) / 153;
  CivilTime time{};
  time.day = static_cast<int>(day_of_year - (153 * month_index + 2) / 5 + 1);
  time.month = static_cast<int>(month_index < 10 ? month_index + 3 : month_index - 9);
  time.year = year_of_era + era * 400 + (time.month <= 2 ? 1 : 0);
  time.hour = static_cast<int>(rest / 3600);
  time.minute = static_cast<int>(rest / 60 % 60);
  time.second = static_cast<int>(rest % 60);
  time.weekday = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const bool leap = time.year % 4 == 0 && (time.year % 100 != 0 || time.year % 400 == 0);
  constexpr int kDaysBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  time.year_day = kDaysBefore[time.month - 1] + time.day + (leap && time.month > 2 ? 1 : 0);
  return time;
}

std::string number(int64_t value, size_t width, char fill) {
  std::string digits = format(value);
  if (fill != '\0' && digits.size() < width) digits.insert(0, width - digits.size(), fill);
  return digits;
}

std::string two(int64_t value) { return number(value, 2, '0'); }

// One directive; `fill` '0' as usual, '\0' after %-.
std::string format_directive(const CivilTime& time, char directive, char fill) {
  const int hour12 = time.hour % 12 == 0 ? 12 : time.hour % 12;
  const auto month = kMonths[time.month - 1];
  const auto day = kDays[time.weekday];
  switch (directive) {
    case 'Y':
      return number(time.year, 4, fill);
    case 'y':
      return number(time.year % 100, 2, fill);
    case 'm':
      return number(time.month, 2, fill);
    case 'd':
      return number(time.day, 2, fill);
    case 'e':
      return number(time.day, 2, fill == '\0' ? '\0' : ' ');
    case 'H':
      return number(time.hour, 2, fill);
    case 'I':
      return number(hour12, 2, fill);
    case 'M':
      return number(time.minute, 2, fill);
    case 'S':
      return number(time.second, 2, fill);
    case 'j':
      return number(time.year_day, 3, fill);
    case 'f':
      return "000000";
    case 'w':
      return number(time.weekday, 1, fill);
    case 'u':
      return number(time.weekday == 0 ? 7 : time.weekday, 1, fill);
    case 'p':
      return time.hour < 12 ? "AM" : "PM";
    case 'B':
      return std::string(month);
    case 'b':
    case 'h':
      return std::string(month.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'a':
      return std::string(day.substr(0, 3));
    case 'F':
      return format(number(time.year, 4, '0'), "-", two(time.month), "-", two(time.day));
    case 'T':
    case 'X':
      return format(two(time.hour), ":", two(time.minute), ":", two(time.second));
    case 'R':
      return format(two(time.hour), ":", two(time.minute));
    case 'D':
    case 'x':
      return format(two(time.month), "/", two(time.day), "/", two(time.year % 100));
    case 'Z':
    case 'z':
      return "";
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case '%':
      return "%";
    default:
      fail(format("strftime_now: unknown directive '%", directive, "'"));
  }
}

}  // namespace

std::string format_time(int64_t unix_seconds, std::string_view pattern) {
  const CivilTime time = civil_from_unix(unix_seconds);
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%' || i + 1 >= pattern.size()) {
      out.push_back(pattern[i]);
      continue;
    }
    char fill = '0';
    if (pattern[i + 1] == '-' && i + 2 < pattern.size()) {
      fill = '\0';
      ++i;
    }
    out += format_directive(time, pattern[++i], fill);
  }
  return out;
}

}  // namespace fastserve::jinja
