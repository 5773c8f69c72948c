// Text between UTF-8 and Windows' UTF-16, and the system's words for its errors; for os_windows*.cpp.
#pragma once
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/format.h"

namespace fastserve::os {

// Empty when the text is no valid UTF-8.
inline std::wstring to_wide(std::string_view text) {
  if (text.empty() || text.size() > 32767) return {};
  const int size = static_cast<int>(text.size());
  const int count = ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), size, nullptr, 0);
  std::wstring wide(static_cast<size_t>(std::max(count, 0)), L'\0');
  if (count > 0) ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), size, wide.data(), count);
  return wide;
}

inline std::string error_text(DWORD number) {
  wchar_t wide[256];
  const DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
  DWORD count = ::FormatMessageW(flags, nullptr, number, 0, wide, 256, nullptr);
  while (count != 0 && (wide[count - 1] == L'\r' || wide[count - 1] == L'\n' || wide[count - 1] == L'.')) --count;
  char text[1024];
  const int size =
      ::WideCharToMultiByte(CP_UTF8, 0, wide, static_cast<int>(count), text, sizeof(text), nullptr, nullptr);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : format("error ", static_cast<uint32_t>(number));
}

}  // namespace fastserve::os
