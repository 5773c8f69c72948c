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
  local mode=${1:-} check
  mkdir -p "$BUILD_DIR"
  need_packages build lint
  say "formatting (clang-format $CLANG_VERSION)"
  source_files | xargs -r -n 32 -P "$JOBS" "$CLANG_FORMAT" --dry-run -Werror || fail "./dev format repairs this"
  say "includes, lengths, names, header"
  for check in includes lengths names; do python3 -B "tools/lint/$check.py"; done
  tools/lint/header.sh
  python3 -B tools/generate/generate.py --check || fail "./dev generate repairs this"
  lint_symbols
  case "$mode" in
    '') ;;
    --tidy) lint_tidy "$(git merge-base HEAD origin/HEAD 2>/dev/null || git rev-parse HEAD~ 2>/dev/null || true)" ;;
    --tidy-all) lint_tidy "" ;;
    *) fail "usage: ./dev lint [--tidy|--tidy-all]" ;;
  esac
  say "lint: clean"
}

# Exported and imported symbols of the release build, where there is one; a test (lint.symbols) checks the same.
lint_symbols() {
  local lib=$BUILD_DIR/release/lib
  if [ ! -f "$lib/libfastserve.so" ]; then
    say "symbols: not checked, there is no release build yet (./dev build)"
    return 0
  fi
  say "symbols"
  python3 -B tools/lint/symbols.py "$lib/libfastserve.so" "$lib/libfastserve_core.a"
}

# lint_tidy <commit or empty>: clang-tidy over the sources changed since a commit, or over all.
lint_tidy() {
  local since=$1 files
  need_packages tidy
  [ -f "$BUILD_DIR/release/compile_commands.json" ] || dev_build release
  if [ -n "$since" ]; then
    files=$(git diff --name-only --diff-filter=d "$since" -- 'src/*.cpp' 'kernels/*.cpp' 'tools/*.cpp')
  else
    files=$(git ls-files -- 'src/*.cpp' 'kernels/*.cpp' 'tools/*.cpp')
  fi
  [ -n "$files" ] || return 0
  say "clang-tidy $CLANG_VERSION"
  printf '%s\n' "$files" | xargs -n 4 -P "$JOBS" "clang-tidy-$CLANG_VERSION" --quiet -p "$BUILD_DIR/release" \
    --warnings-as-errors='*' --extra-arg=-Wno-unknown-warning-option
}
