# The installed headers, with exceptions and RTTI and without.
need g++
need pkg-config

say "install"
install_package Runtime Development
read -ra flags < <(pkg-config --cflags --libs fastserve)

# compile <source> <program> [option...]
compile() {
  local source=$1 program=$2
  shift 2
  g++ "$(is_test && echo -O0 || echo -O2)" -Wall -Wextra -Wshadow -pedantic -Werror "$@" "$source" -o "$WORK/$program" "${flags[@]}" -pthread
}

if is_test; then
  say "tests"
  compile "$HERE/tests/lifecycle_test.cpp" lifecycle -std=c++17
  compile "$HERE/tests/lifecycle_test.cpp" lifecycle_plain -std=c++20 -fno-exceptions -fno-rtti
  "$WORK/lifecycle" "$TINY"
  "$WORK/lifecycle_plain" "$TINY"

  say "README"
  readme_example cpp >"$WORK/readme.cpp"
  compile "$WORK/readme.cpp" readme -std=c++17
  (cd "$WORK" && as_readme_model && ./readme && echo)
fi

compile "$HERE/tests/conformance_runner.cpp" runner -std=c++17 -fno-exceptions -fno-rtti
conformance "$WORK/runner"
