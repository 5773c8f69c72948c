# ./dev build [preset]: configures and builds; build/<preset>/bin and build/<preset>/lib hold the result.

configure() {
  local preset=$1
  shift
  export CCACHE_DIR=${CCACHE_DIR:-$BUILD_DIR/ccache}
  local options=("$@")
  if [ -f "$DEPS_DIR/mimalloc/src/static.c" ]; then
    options+=("-DFASTSERVE_MIMALLOC_SOURCE=$DEPS_DIR/mimalloc")
  fi
  cmake --preset "$preset" "${options[@]}" >"$BUILD_DIR/configure-$preset.log" 2>&1 || {
    cat "$BUILD_DIR/configure-$preset.log" >&2
    fail "cmake could not configure preset '$preset'"
  }
  grep -E '^-- fastserve:' "$BUILD_DIR/configure-$preset.log" >&2 || true
}

# build_preset <preset> [target...]
build_preset() {
  local preset=$1
  shift
  say "building (preset $preset, $JOBS jobs)"
  cmake --build "$BUILD_DIR/$preset" --parallel "$JOBS" ${1:+--target "$@"}
}

dev_build() {
  local preset=${1:-release}
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  # The release preset leaves the product: tests are built by ./dev test, in the same folder.
  need_packages build
  need_mimalloc
  case "$preset" in
    release) configure release -DFASTSERVE_BUILD_TESTS=OFF ;;
    *) need_packages test; configure "$preset" ;;
  esac
  build_preset "$preset"
}

# ./dev cuda: the product with libfastserve_cuda.so for every architecture, and the tests of the device.
dev_cuda() {
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  need_packages build test
  need_mimalloc
  need_cuda || fail "no CUDA toolkit: neither nvcc on the PATH nor its Python packages"
  configure cuda -DFASTSERVE_BUILD_TESTS=ON "-DFASTSERVE_NVCC=$NVCC"
  build_preset cuda
  run_ctest cuda '^gpu$'
}

# ./dev demo [prompt]: everything from a bare machine to a streamed answer.
dev_demo() {
  local prompt=${*:-What is the capital of France?}
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  need_packages build
  dev_models smollm2
  dev_build release
  say "asking SmolLM2-135M-Instruct: $prompt"
  "$BUILD_DIR/release/bin/fastserve" run --model "$MODEL_DIR/smollm2-135m-instruct-q4_1.gguf" \
    --system "You are a helpful assistant." --prompt "$prompt" --max-tokens 256 --temperature 0
}
