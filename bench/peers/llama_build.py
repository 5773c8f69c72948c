"""Finds or builds llama.cpp as a peer: natively for this machine, from the sdist of `llama-cpp-python`.

Everything lies under build/peers/ and is reused. A build folder made elsewhere can be named instead.
"""
import glob
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(REPOSITORY, "build", "peers")
SDIST = "llama-cpp-python==0.3.36"
TOOLS = ["llama-bench", "llama-batched-bench", "llama-perplexity", "llama-quantize"]


@dataclass
class LlamaBuild:
    build: str  # the CMake build folder
    source: str

    def tool(self, name):
        return os.path.join(self.build, "bin", name)

    def version(self):
        with open(os.path.join(self.build, "src", "llama-version.h"), encoding="utf-8") as file:
            words = [line.split('"')[1] for line in file if '"' in line]
        return " ".join(words) or "unknown"

    def logits_tool(self):
        """The program of llama_logits.cpp, linked against this build."""
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_logits.cpp")
        program = os.path.join(PEERS, "llama_logits")
        library = os.path.join(self.build, "src", "libllama.a")
        ggml = os.path.join(self.build, "ggml", "src")
        libraries = [library, *(os.path.join(ggml, name) for name in ("libggml.a", "libggml-cpu.a", "libggml-base.a"))]
        newest = max(os.path.getmtime(path) for path in [source, *libraries])
        if os.path.exists(program) and os.path.getmtime(program) >= newest:
            return program
        os.makedirs(PEERS, exist_ok=True)
        run(["c++", "-O2", "-std=c++17", "-I" + os.path.join(self.source, "include"),
             "-I" + os.path.join(self.source, "ggml", "include"), source, *libraries,
             "-fopenmp", "-ldl", "-lpthread", "-lm", "-o", program])
        return program


def run(command):
    """Runs a step of the preparation; what it says goes to build/peers/prepare.log."""
    print("+ " + " ".join(command), file=sys.stderr)
    os.makedirs(PEERS, exist_ok=True)
    path = os.path.join(PEERS, "prepare.log")
    with open(path, "a", encoding="utf-8") as log:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {result.returncode}; see {path}")


def source_of_build(build):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("CMAKE_HOME_DIRECTORY:"):
                return line.split("=", 1)[1].strip()
    raise SystemExit(f"{build}: no CMake build folder")


def fetch_source():
    """Downloads the sdist by pip and unpacks llama.cpp's part of it."""
    folder = os.path.join(PEERS, "source")
    found = glob.glob(os.path.join(folder, "*", "vendor", "llama.cpp"))
    if found:
        return found[0]
    downloads = os.path.join(PEERS, "download")
    run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", downloads,
         SDIST])
    archive = glob.glob(os.path.join(downloads, "llama_cpp_python-*.tar.gz"))[0]
    partial = folder + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    run(["tar", "-xzf", archive, "-C", partial])
    os.rename(partial, folder)
    return glob.glob(os.path.join(folder, "*", "vendor", "llama.cpp"))[0]


def find_or_build(build=None):
    """`build`: a build folder of llama.cpp made elsewhere, or None for our own under build/peers/."""
    if build:
        build = os.path.abspath(build)
        return LlamaBuild(build, source_of_build(build))
    source, build = fetch_source(), os.path.join(PEERS, "llama.cpp")
    header = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tile_config.h")
    if not all(os.path.exists(os.path.join(build, "bin", tool)) for tool in TOOLS):
        run(["cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
             "-DCMAKE_CXX_FLAGS=-include " + header,
             "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_MTMD=OFF", "-DLLAMA_BUILD_UI=OFF",
             "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_TOOLS=ON"])
        run(["cmake", "--build", build, "--target", *TOOLS])
    return LlamaBuild(build, source)
