# The package: built from the library at hand, packed by npm, installed in a clean folder.
need node
need npm
need cmake
need cc
modules=$DEPS/node/node_modules
[ -x "$modules/.bin/tsc" ] || { echo "SKIPPED: no TypeScript in build/deps/node"; exit 77; }
node -e 'process.exit(Symbol.asyncDispose ? 0 : 1)' || { echo "SKIPPED: node $(node --version) is older than 18.18"; exit 77; }

say "package"
rm -rf "$WORK/source" "$WORK/app"
cp -r "$HERE" "$WORK/source" # builds leave nothing in the source tree
ln -s "$modules" "$WORK/source/node_modules"
"$modules/.bin/tsc" -p "$WORK/source"
cmake -S "$WORK/source" -B "$WORK/addon" "-DFASTSERVE_PREBUILT=$LIBRARY" "-Droot=$ROOT" -DCMAKE_BUILD_TYPE=Release \
  >"$WORK/cmake.log" 2>&1 || {
  grep -q 'NODE_API_INCLUDE' "$WORK/cmake.log" && echo "SKIPPED: no node_api.h (libnode-dev)" && exit 77
  cat "$WORK/cmake.log"
  exit 1
}
cmake --build "$WORK/addon" >>"$WORK/cmake.log"
cmake --install "$WORK/addon" --prefix "$WORK/source" --component node >>"$WORK/cmake.log"
package=$(cd "$WORK/source" && npm pack --silent --pack-destination "$WORK")

say "install"
mkdir -p "$WORK/app"
cp "$HERE"/tests/* "$WORK/app/"
(cd "$WORK/app" && npm init --yes >/dev/null && npm install --silent --offline --no-audit --no-fund "$WORK/$package")
cd "$WORK/app" # not beside the sources

if is_test; then
  say "types (tsc)"
  "$modules/.bin/tsc" --noEmit --strict --target es2022 --module node16 --lib es2022,esnext.disposable \
    --types node --typeRoots "$modules/@types" "$WORK/app/types_test.mts"

  say "tests"
  node --expose-gc --test lifecycle.test.mjs

  say "README"
  readme_example js >hello.mjs
  as_readme_model
  node hello.mjs
  echo
fi

conformance node --expose-gc "$WORK/app/conformance_runner.mjs"
