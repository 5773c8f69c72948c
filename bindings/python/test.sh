# The wheel, packed from the library at hand, in a clean environment.
need python3
"$PYTHON" -c 'import scikit_build_core, mypy' 2>/dev/null || { echo "SKIPPED: no scikit-build-core, mypy in build/venv"; exit 77; }

say "wheel"
rm -rf "$WORK/wheel" "$WORK/venv" "$WORK/source"
cp -r "$HERE" "$WORK/source" # builds leave nothing in the source tree
"$PYTHON" -m pip wheel --quiet --no-build-isolation --no-deps --no-index --disable-pip-version-check \
  --config-settings="cmake.define.FASTSERVE_PREBUILT=$LIBRARY" --wheel-dir "$WORK/wheel" "$WORK/source"
"$PYTHON" -m venv "$WORK/venv"
"$WORK/venv/bin/python" -m pip install --quiet --no-index --disable-pip-version-check "$WORK"/wheel/fastserve-*.whl

unset PYTHONPATH FASTSERVE_LIBRARY
if is_test; then
  say "types (mypy)"
  (cd "$HERE" && "$PYTHON" -m mypy --cache-dir "$WORK/mypy")
  say "tests"
fi
cd "$WORK" # not beside the sources
! is_test || "$WORK/venv/bin/python" -B "$HERE/tests/test_fastserve.py"
conformance "$WORK/venv/bin/python" -B "$HERE/tests/conformance_runner.py"
