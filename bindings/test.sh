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
# shellcheck source=bindings/common.sh
source "$BINDINGS/common.sh"

# The tests are left out where speed alone is measured.
is_test() { [ "$MODE" = test ]; }

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
