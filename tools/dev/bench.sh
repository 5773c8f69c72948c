# ./dev bench [kernels | serving | peers | families | kl | perplexity | bindings]: kernel microbenchmarks; the engine under
# load beside its simulator; speed and quality beside other engines; what bindings cost. Speed is only comparable within
# one run on one quiet machine.

dev_bench() {
  local what=${1:-kernels}
  [ "$#" -eq 0 ] || shift
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  case "$what" in
    kernels) bench_kernels "$@" ;;
    serving) bench_serving "$@" ;;
    peers | families) bench_peers "$what" "$@" ;;
    kl | perplexity) bench_quality "$what" "$@" ;;
    bindings) bench_bindings "$@" ;;
    *) fail "usage: ./dev bench [kernels | serving | peers | families | kl | perplexity | bindings] [options]" ;;
  esac
}

bench_kernels() {
  need_packages build bench
  configure release -DFASTSERVE_BUILD_BENCH=ON
  build_preset release bench_kernels
  "$BUILD_DIR/release/bin/bench_kernels" "$@"
}

# bench_serving [replay | deadline | overhead] [options]
bench_serving() {
  need_packages build bench
  dev_models smollm2
  configure release -DFASTSERVE_BUILD_BENCH=ON
  build_preset release bench_serving
  "$BUILD_DIR/release/bin/bench_serving" --model "$MODEL_DIR/smollm2-135m-instruct-q4_1.gguf" "${@:-replay}"
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

# bench_bindings [name...] <pairs and tokens by PAIRS and TOKENS>: each binding beside C on the same model.
bench_bindings() {
  local name names=("$@") work=$BUILD_DIR/release/bindings
  [ "$#" -gt 0 ] || mapfile -t names < <(cd bindings && ls -d */test.sh | cut -d / -f 1)
  need_packages build
  need_bindings
  need_java
  dev_models smollm2
  dev_build release
  mkdir -p "$work"
  cc -O2 -Iinclude bench/bindings/c_runner.c -o "$work/c_runner" "-L$BUILD_DIR/release/lib" -lfastserve \
    "-Wl,-rpath,$BUILD_DIR/release/lib"
  printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' \
    binding streams 'C tokens/s' tokens/s ratio 'of pairs' goal 'C us/token' us/token 'C host' host \
    --- --- --- --- --- --- --- --- --- --- ---
  for name in "${names[@]}"; do
    (export LIBRARY=$BUILD_DIR/release/lib/libfastserve.so BUILD=$BUILD_DIR/release WORK=$work/$name MODELS=$MODEL_DIR \
      DEPS=$DEPS_DIR PYTHON=$VENV/bin/python C_RUNNER=$work/c_runner LAYOUT=''
    bash bindings/test.sh "$name" bench) | grep -E '^\||SKIPPED' || say "$name could not be measured"
  done
}
