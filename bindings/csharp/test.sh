# The one file, compiled into programs and run by Mono.
need mcs mono-mcs
need mono mono-runtime
export LD_LIBRARY_PATH=${LIBRARY%/*}
references=(-r:System.Core.dll)

if is_test; then
  say "tests"
  mcs -warnaserror "${references[@]}" "-out:$WORK/lifecycle.exe" "$HERE/Fastserve.cs" "$HERE"/lifecycle/*.cs
  mono "$WORK/lifecycle.exe" "$TINY"

  say "README"
  readme_example csharp >"$WORK/hello.cs"
  mcs "${references[@]}" "-out:$WORK/hello.exe" "$HERE/Fastserve.cs" "$WORK/hello.cs"
  (cd "$WORK" && as_readme_model && mono hello.exe && echo)
fi

mcs "${references[@]}" "-out:$WORK/runner.exe" "$HERE/Fastserve.cs" "$HERE"/tests/*.cs
conformance mono "$WORK/runner.exe"
