# The package over the installed library.
need go
need cc
need pkg-config
case "$(go env GOVERSION)" in
  go1.2[3-9]* | go1.[3-9][0-9]* | go[2-9]*) ;;
  *) echo "SKIPPED: $(go env GOVERSION) is older than go1.23"; exit 77 ;;
esac
install_package Runtime Development
export GOCACHE=$WORK/cache GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local

if is_test; then
  say "tests"
  cd "$HERE"
  go vet .
  go test -count=1 .

  say "README"
  rm -rf "$WORK/hello"
  mkdir -p "$WORK/hello"
  readme_example go >"$WORK/hello/main.go"
  printf 'module hello\ngo 1.23\nrequire fastserve.dev/go/fastserve v0.0.0\nreplace fastserve.dev/go/fastserve => %s\n' \
    "$HERE" >"$WORK/hello/go.mod"
  (cd "$WORK/hello" && as_readme_model && go run . && echo)
fi

cd "$HERE"
go build -o "$WORK/runner" ./cmd/conformance
conformance "$WORK/runner"
