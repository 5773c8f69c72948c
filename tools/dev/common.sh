# Shared by the parts of ./dev: messages, and where things lie.
BUILD_DIR=$PWD/build
VENV=$BUILD_DIR/venv
MODEL_DIR=$BUILD_DIR/models
DEPS_DIR=$BUILD_DIR/deps
JOBS=${FASTSERVE_JOBS:-$(nproc 2>/dev/null || echo 2)}
CLANG_VERSION=19

say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf 'dev: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
