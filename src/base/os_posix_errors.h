// The system's words for an errno, for os_posix*.cpp.
#pragma once
#include <cstring>
#include <string>

#include "base/format.h"

namespace fastserve::os {

// Without the process-wide buffer of strerror().
inline std::string error_text(int number) {
  char buffer[256] = {};
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
  return strerror_r(number, buffer, sizeof(buffer));
#else
  return strerror_r(number, buffer, sizeof(buffer)) == 0 ? std::string(buffer) : format("error ", number);
#endif
}

}  // namespace fastserve::os
