# Both crates from their packages: linked and opened at run time.
need cargo
manifest=$HERE/Cargo.toml
cargo metadata --manifest-path "$manifest" --offline --locked --format-version 1 >"$WORK/metadata" 2>&1 || {
  echo "SKIPPED: the crates are not here (cargo fetch), or cargo is older than 1.78"
  exit 77
}
export CARGO_TARGET_DIR=$WORK/target CARGO_NET_OFFLINE=true FASTSERVE_LIB_DIR=${LIBRARY%/*}
export LD_LIBRARY_PATH=$FASTSERVE_LIB_DIR

if is_test; then
  say "tests"
  cargo test --quiet --tests --manifest-path "$manifest" --locked --features fastserve/stream

  # Crates that need each other are packed together by cargo 1.90 and later.
  say "packages"
  crates=("$HERE/fastserve" "$HERE/fastserve-sys")
  rm -rf "$WORK/target/package" "$WORK/hello"
  mkdir -p "$WORK/hello/src"
  if cargo package --manifest-path "$manifest" --workspace --no-verify --allow-dirty --quiet 2>"$WORK/package.log"; then
    for crate in "$WORK"/target/package/*.crate; do tar -xzf "$crate" -C "$WORK/hello"; done
    crates=("$WORK"/hello/fastserve-[0-9]* "$WORK"/hello/fastserve-sys-*)
  else
    say "not packed by $(cargo --version): the sources instead"
  fi

  say "README"
  readme_example rust >"$WORK/hello/src/main.rs"
  cat >"$WORK/hello/Cargo.toml" <<TOML
[package]
name = "hello"
version = "0.0.0"
edition = "2021"
[dependencies]
fastserve = { path = "${crates[0]}", features = ["load-dynamic"] }
[patch.crates-io]
fastserve-sys = { path = "${crates[1]}" }
TOML
  cp "$HERE/Cargo.lock" "$WORK/hello/"
  (cd "$WORK/hello" && as_readme_model && cargo run --quiet && echo)
fi

say "build"
cargo build --quiet --release --manifest-path "$manifest" --locked --features fastserve/stream --example conformance_runner
conformance "$WORK/target/release/examples/conformance_runner"
