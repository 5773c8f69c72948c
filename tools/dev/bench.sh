# ./dev bench [kernels | peers | families | kl | perplexity]: kernel microbenchmarks; speed and quality beside other engines. Speed
# is only comparable within one run on one quiet machine.

dev_bench() {
  local what=${1:-kernels}
  [ "$#" -eq 0 ] || shift
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  case "$what" in
    kernels) bench_kernels "$@" ;;
    peers | families) bench_peers "$what" "$@" ;;
    kl | perplexity) bench_quality "$what" "$@" ;;
    *) fail "usage: ./dev bench [kernels | peers | families | kl | perplexity] [options]" ;;
  esac
}

bench_kernels() {
  need_packages build bench
  configure release -DFASTSERVE_BUILD_BENCH=ON
  build_preset release bench_kernels
  "$BUILD_DIR/release/bin/bench_kernels" "$@"
}

# The programs and the Python that the comparison needs. $1: Python modules that must be importable.
bench_prepare() {
  need_packages build
  PYTHON=$VENV/bin/python
  need_venv
  "$PYTHON" -c "import ${1// /, }" 2>/dev/null && return 0
  say "installing Python packages in build/venv: $1"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input $1 </dev/null ||
    fail "pip could not install $1"
}

# bench_peers <peers | families> <options of bench/peers/*.py>
bench_peers() {
  local what=$1
  shift
  bench_prepare "numpy gguf"
  dev_models smollm2
  dev_build release
  "$VENV/bin/python" "bench/peers/$what.py" "$@"
}

# bench_quality <kl | perplexity> [smollm2 | gemma3] <options of bench/quality/*.py>
bench_quality() {
  local what=$1 name=smollm2 file=smollm2-135m-instruct-q4_1
  shift
  case "${1:-}" in
    smollm2) shift ;;
    gemma3) name=gemma3 file=gemma-3-270m-q4_k_m; shift ;;
  esac
  [ "$what" = perplexity ] || bench_prepare "numpy gguf torch transformers accelerate"
  [ "$what" = kl ] || bench_prepare "numpy"
  dev_models "$name"
  dev_build release
  "$VENV/bin/python" "bench/quality/$what.py" --fastserve "$BUILD_DIR/release/bin/fastserve" \
    --model "$MODEL_DIR/$file.gguf" "$@"
}
