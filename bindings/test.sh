#!/usr/bin/env bash
# test.sh NAME [bench]: tests the binding in bindings/NAME, or measures what it costs (./dev bench bindings); 77 where its
# toolchain is missing. ctest sets, as absolute paths:
# LIBRARY (libfastserve.so), LAYOUT (the compiled conformance/layout.c), WORK (a scratch folder), BUILD, MODELS, DEPS, PYTHON.
set -euo pipefail
BINDINGS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$BINDINGS")
NAME=$1
MODE=${2:-test}
HERE=$BINDINGS/$NAME
export TINY=$BINDINGS/conformance/tiny.gguf.bin
mkdir -p "$WORK"

# need <program> [hint]: skips the test where a program of the toolchain is missing.
need() {
  command -v "$1" >/dev/null && return 0
  echo "SKIPPED: no $1${2:+ ($2)}"
  exit 77
}

# The tests are left out where speed alone is measured.
is_test() { [ "$MODE" = test ]; }

say() { printf '== %s: %s\n' "$NAME" "$*"; }

# readme_example <language>: the first example of the binding's README, at most 15 lines of it.
readme_example() {
  local example
  example=$(sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" "$HERE/README.md" | sed '1d;/^```$/,$d')
  [ -n "$example" ] && [ "$(grep -c . <<<"$example")" -le 15 ] || {
    echo "the first $1 example of $HERE/README.md is missing or has more than 15 lines" >&2
    return 1
  }
  printf '%s\n' "$example"
}

# The model that the READMEs name, in the current folder: the real one, or the tiny one under its name.
as_readme_model() {
  local name=smollm2-135m-instruct-q4_1.gguf
  ln -sf "$([ -f "$MODELS/$name" ] && echo "$MODELS/$name" || echo "$TINY")" "$name"
}

# install_package <component>...: the library's package under $WORK/prefix, found by pkg-config and the loader.
install_package() {
  local component
  rm -rf "$WORK/prefix"
  for component in "$@"; do
    cmake --install "$BUILD" --prefix "$WORK/prefix" --component "$component" >"$WORK/install.log"
  done
  PKG_CONFIG_PATH=$(dirname "$(find "$WORK/prefix" -name fastserve.pc)")
  export PKG_CONFIG_PATH LD_LIBRARY_PATH=${PKG_CONFIG_PATH%/pkgconfig}
}

# conformance <runner> [argument...]: replies are compared with those that other bindings had of the same library. Or the
# runner's speed with that of C.
conformance() {
  local replies
  if ! is_test; then
    python3 -B "$ROOT/bench/bindings/overhead.py" "$NAME" --model "$MODELS/smollm2-135m-instruct-q4_1.gguf" \
      --c "$C_RUNNER" -- "$@"
    return
  fi
  replies=$(dirname "$WORK")/replies-$(sha256sum "$LIBRARY" | cut -c 1-16).json
  say "conformance"
  python3 -B "$BINDINGS/conformance/run.py" "$NAME" --layout "$LAYOUT" --models "$MODELS" \
    --results "$replies" -- "$@"
}

# shellcheck source=/dev/null
source "$HERE/test.sh"
