#!/usr/bin/env bash
# test.sh NAME: tests the binding in bindings/NAME; 77 where its toolchain is missing. ctest sets, as absolute paths:
# LIBRARY (libfastserve.so), LAYOUT (the compiled conformance/layout.c), WORK (a scratch folder), MODELS, PYTHON.
set -euo pipefail
BINDINGS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$BINDINGS")
NAME=$1
HERE=$BINDINGS/$NAME
mkdir -p "$WORK"

# need <program> [hint]: skips the test where a program of the toolchain is missing.
need() {
  command -v "$1" >/dev/null && return 0
  echo "SKIPPED: no $1${2:+ ($2)}"
  exit 77
}

say() { printf '== %s: %s\n' "$NAME" "$*"; }

# conformance <runner> [argument...]: replies are compared with those that other bindings had of the same library.
conformance() {
  local replies
  replies=$(dirname "$WORK")/replies-$(sha256sum "$LIBRARY" | cut -c 1-16).json
  say "conformance"
  python3 -B "$BINDINGS/conformance/run.py" "$NAME" --layout "$LAYOUT" --models "$MODELS" \
    --results "$replies" -- "$@"
}

# shellcheck source=/dev/null
source "$HERE/test.sh"
