# Shared by test.sh and accept.sh, which set NAME, HERE (the binding's folder), BUILD, WORK, MODELS and TINY.

# need <program> [hint]: skips the test where a program of the toolchain is missing.
need() {
  command -v "$1" >/dev/null && return 0
  echo "SKIPPED: no $1${2:+ ($2)}"
  exit 77
}

say() { printf '== %s: %s\n' "$NAME" "$*"; }

# readme_example <language>: the first example of the binding's README, at most 15 lines of it.
readme_example() {
  local example
  example=$(sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" "$HERE/README.md" | sed '1d;/^```$/,$d')
  [ -n "$example" ] && [ "$(grep -c . <<<"$example")" -le 15 ] || {
    echo "the first $1 example of $HERE/README.md is missing or has more than 15 lines" >&2
    return 1
  }
  printf '%s\n' "$example"
}

# The model that the READMEs name, in the current folder: the real one, or the tiny one under its name.
as_readme_model() {
  local name=smollm2-135m-instruct-q4_1.gguf
  ln -sf "$([ -f "$MODELS/$name" ] && echo "$MODELS/$name" || echo "$TINY")" "$name"
}

# install_package <component>...: the library's package under $WORK/prefix, found by pkg-config and the loader.
install_package() {
  local component
  rm -rf "$WORK/prefix"
  for component in "$@"; do
    cmake --install "$BUILD" --prefix "$WORK/prefix" --component "$component" >"$WORK/install.log"
  done
  PKG_CONFIG_PATH=$(dirname "$(find "$WORK/prefix" -name fastserve.pc)")
  export PKG_CONFIG_PATH LD_LIBRARY_PATH=${PKG_CONFIG_PATH%/pkgconfig}
}
