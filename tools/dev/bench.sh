# ./dev bench [kernels]: kernel microbenchmarks. Speed is only comparable within one run on one quiet machine.

dev_bench() {
  local what=${1:-kernels}
  [ "$#" -eq 0 ] || shift
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  case "$what" in
    kernels) bench_kernels "$@" ;;
    *) fail "usage: ./dev bench [kernels]" ;;
  esac
}

bench_kernels() {
  need_packages build bench
  configure release -DFASTSERVE_BUILD_BENCH=ON
  build_preset release bench_kernels
  "$BUILD_DIR/release/bin/bench_kernels" "$@"
}
