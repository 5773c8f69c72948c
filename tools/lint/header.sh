#!/usr/bin/env bash
# The public header compiles alone as C99 and as C++11, without a warning, with each compiler there is.
set -euo pipefail
header=$(dirname "${BASH_SOURCE[0]}")/../../include/fastserve.h
warnings=(-Wall -Wextra -pedantic -Werror -fsyntax-only)
for compiler in gcc clang-19; do
  command -v "$compiler" >/dev/null || continue
  "$compiler" -std=c99 "${warnings[@]}" -x c -include "$header" /dev/null
  "$compiler" -std=c++11 "${warnings[@]}" -x c++ -include "$header" /dev/null
done
