# ./dev generate, and what the tests of the bindings need from the network. Toolchains of languages are not installed:
# a binding whose toolchain is missing is skipped, visibly (bindings/test.sh).

dev_generate() {
  mkdir -p "$BUILD_DIR"
  need_packages build
  python3 -B tools/generate/generate.py
}

need_bindings() {
  need_venv
  if have cargo; then
    cargo fetch --quiet --manifest-path bindings/rust/Cargo.toml </dev/null ||
      say "cargo could not fetch the crates of the Rust binding: it will not be tested"
  fi
  "$VENV/bin/python" -c 'import scikit_build_core, mypy, typing_extensions' 2>/dev/null && return 0
  say "installing Python packages in build/venv: scikit-build-core mypy"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input scikit-build-core mypy </dev/null ||
    say "pip could not install them: the Python binding will not be tested"
}
