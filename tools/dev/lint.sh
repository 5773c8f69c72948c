# ./dev lint [--tidy], ./dev format: what the repository asks of its own text. The checks lie in tools/lint.

CLANG_FORMAT=clang-format-${CLANG_VERSION}

# Every C and C++ file of ours that git tracks or would track.
source_files() {
  git ls-files --cached --others --exclude-standard -- '*.c' '*.h' '*.cpp' '*.hpp' '*.cc' '*.cu' '*.cuh' |
    while read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done
}

dev_format() {
  need_packages lint
  source_files | xargs -r -n 32 -P "$JOBS" "$CLANG_FORMAT" -i
}

dev_lint() {
  mkdir -p "$BUILD_DIR"
  need_packages build lint
  say "formatting (clang-format $CLANG_VERSION)"
  source_files | xargs -r -n 32 -P "$JOBS" "$CLANG_FORMAT" --dry-run -Werror || fail "./dev format repairs this"
}
