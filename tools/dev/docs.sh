# ./dev docs: what the bindings' comments say, as each language's own tool shows it, under build/docs. A language whose tool
# is missing is passed over, visibly.

dev_docs() {
  local out=$BUILD_DIR/docs
  mkdir -p "$out"/{python,rust,go,java}
  if have cargo && cargo doc --quiet --no-deps --manifest-path bindings/rust/Cargo.toml --features fastserve/load-dynamic \
    --target-dir "$out/rust"; then
    say "Rust: build/docs/rust/doc/fastserve/index.html"
  else
    say "Rust: no cargo, or it could not fetch the crates"
  fi
  if have go && (cd bindings/go && go doc -all .) >"$out/go/fastserve.txt" 2>"$out/go/log"; then
    say "Go: build/docs/go/fastserve.txt"
  else
    say "Go: no go"
  fi
  if have javadoc && javadoc -quiet -Xdoclint:none -d "$out/java" bindings/java/src/main/java/dev/fastserve/*.java \
    >"$out/java.log" 2>&1; then
    say "Java: build/docs/java/index.html"
  else
    say "Java: no javadoc of a JDK 22 or later"
  fi
  docs_of_python "$out/python"
}

# Needs the library, which the module opens when it is imported.
docs_of_python() {
  local library=$BUILD_DIR/release/lib/libfastserve.so
  [ -f "$library" ] || { say "Python: no library yet (./dev build)"; return 0; }
  if (cd "$1" && FASTSERVE_LIBRARY=$library PYTHONPATH=$OLDPWD/bindings/python/src python3 -B -m pydoc -w fastserve) \
    >"$1/log" 2>&1; then
    say "Python: build/docs/python/fastserve.html"
  else
    say "Python: the module could not be opened (build/docs/python/log)"
  fi
}
