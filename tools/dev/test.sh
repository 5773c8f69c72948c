# ./dev test [--all | --bindings]: builds everything and runs the tests; ctest's summary is the last thing printed.

# run_ctest <preset> <label regex> [ctest argument...]
run_ctest() {
  local preset=$1 labels=$2
  shift 2
  ctest --test-dir "$BUILD_DIR/$preset" --label-regex "$labels" --output-on-failure --no-tests=error \
    --parallel "$JOBS" "$@" </dev/null
}

dev_test() {
  local all=${1:-} cuda=()
  case "$all" in '' | --all | --bindings) ;; *) fail "usage: ./dev test [--all | --bindings]" ;; esac
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  need_packages build test
  need_mimalloc
  dev_models
  need_bindings
  [ "$all" != --bindings ] || need_java
  # One architecture: that the device code compiles is what a test can show without a device.
  if need_cuda; then
    cuda=("-DFASTSERVE_NVCC=$NVCC" -DFASTSERVE_CUDA_ARCHITECTURES=90)
  else
    say "no CUDA toolkit: libfastserve_cuda.so is not built"
  fi
  configure release -DFASTSERVE_BUILD_TESTS=ON "${cuda[@]}"
  build_preset release
  case "$all" in
    --all) test_all_extras; run_ctest release 'fast|model|gpu|slow|fault|bindings' ;;
    --bindings) run_ctest release '^bindings$' ;;
    *) run_ctest release '^(fast|model|gpu|bindings)$' ;;
  esac
}

test_all_extras() {
  dev_lint
  dev_sanitize asan
  FASTSERVE_STRESS_SECONDS=60 dev_sanitize tsan
  dev_fuzz
}

# ./dev sanitize [asan|tsan]: the fast tests under a sanitizer.
dev_sanitize() {
  local preset=${1:-asan}
  [ "$preset" = asan ] || [ "$preset" = tsan ] || fail "usage: ./dev sanitize [asan|tsan]"
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  need_packages build test
  configure "$preset"
  build_preset "$preset"
  say "running the fast tests under $preset"
  ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:check_initialization_order=1 \
    UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1 \
    run_ctest "$preset" '^fast$'
}

# ./dev fuzz [target...]: each target for FASTSERVE_FUZZ_SECONDS (60), from its seeds in tests/fuzz/seeds/<target without _fuzz>.
dev_fuzz() {
  local seconds=${FASTSERVE_FUZZ_SECONDS:-60} name source
  mkdir -p "$BUILD_DIR"
  need_packages build fuzz
  configure fuzz
  build_preset fuzz
  [ "$#" -gt 0 ] || for source in tests/fuzz/*_fuzz.cpp; do
    [ -f "$source" ] && set -- "$@" "$(basename "$source" .cpp)"
  done
  for name in "$@"; do fuzz_one "$name" "$seconds"; done
}

fuzz_one() {
  local name=$1 seconds=$2 corpus=$BUILD_DIR/fuzz/corpus/$1 seeds=()
  mkdir -p "$corpus"
  [ -d "tests/fuzz/seeds/${name%_fuzz}" ] && seeds=("tests/fuzz/seeds/${name%_fuzz}")
  say "fuzzing $name for $seconds s"
  "$BUILD_DIR/fuzz/fuzz/$name" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$BUILD_DIR/fuzz/$name-" "$corpus" "${seeds[@]}" >"$BUILD_DIR/fuzz/$name.log" 2>&1 || {
    tail -n 40 "$BUILD_DIR/fuzz/$name.log" >&2
    fail "$name found a failure; the input lies in build/fuzz/$name-*"
  }
  grep -E 'number_of_executed_units|new_units_added' "$BUILD_DIR/fuzz/$name.log" >&2 || true
}
