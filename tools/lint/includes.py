"""Includes point downward only. One table says which folder may include which; what it allows is transitive."""

import re

from common import C_SUFFIXES, finish, read, repository_files

# Folder -> folders directly below it. A folder may include itself and everything reachable from it.
BELOW = {
    "api": ["tasks", "compress", "train", "interpret", "parallel", "fastserve.h"],
    "tasks": ["engine"],
    "compress": ["engine"],
    "train": ["engine"],
    "interpret": ["engine"],
    "parallel": ["engine"],
    "engine": ["models", "state", "text", "sampling", "formats", "scheduler"],
    "scheduler": [],  # policy alone: plain descriptions in, plans out; a simulation runs it without an engine
    "models": ["blocks", "formats"],
    "blocks": ["ops"],
    "ops": ["backend", "tensor"],
    "state": ["memory", "tensor", "backend"],
    "tensor": ["memory", "kernels"],
    "backend": ["memory", "tensor", "kernels"],
    "formats": ["base", "tensor"],  # tensor/dtype.h: a tensor in a file has an element type
    "text": ["base"],
    "sampling": ["base"],
    "memory": ["base"],
    "base": [],
    "kernels": [],
}
# The library's folders see of kernels/ these files alone; only the dispatcher's caller names the tables.
KERNEL_CONTRACT = {"kernels/kernel_api.h", "kernels/device_api.h", "kernels/device_kernels.h", "kernels/packed_layout.h",
                   "kernels/cpu/peak_loops.h"}
# Programs and bindings over the public header: their own folder and fastserve.h.
OUTSIDE = ("tools", "examples", "bindings")
# Compiled with special instruction flags: an inline function of the standard library instantiated here could be the
# copy that the linker keeps for everyone, and crash older processors.
SIMD_FOLDERS = ("kernels/cpu/avx2/", "kernels/cpu/avx512/", "kernels/cpu/amx/")
SIMD_SYSTEM_HEADERS = {"cstdint", "cstddef", "cstring", "cmath", "stdint.h", "stddef.h", "string.h", "math.h",
                       "immintrin.h", "x86intrin.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def reachable(folder):
    seen, todo = set(), [folder]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(BELOW.get(name, []))
    return seen


def folder_of(target):
    """The layer that an include such as "base/status.h" or "kernels/kernel_api.h" names, or None if unknown."""
    if target == "fastserve.h":
        return target
    first = target.split("/")[0]
    return first if first in BELOW and "/" in target else None


def check_library_include(path, layer, target, allowed):
    below = folder_of(target)
    if below is None:
        return f"{path}: \"{target}\" is no path from src/ (write \"folder/file.h\")"
    if below not in allowed:
        return f"{path}: {layer} may not include {below} (\"{target}\"); see BELOW in tools/lint/includes.py"
    if below == "kernels" and layer != "kernels" and target not in KERNEL_CONTRACT:
        return f"{path}: the library sees of kernels/ only {sorted(KERNEL_CONTRACT)}, not \"{target}\""
    return None


def check_outside_include(path, target, files):
    if target == "fastserve.h" or (path.parent / target) in files or any(
            folder / target in files for folder in path.parents if len(folder.parts) >= 2):
        return None
    return f"{path}: \"{target}\": programs over the library include fastserve.h and their own files only"


def problems_of(path, files):
    text, name, top = read(path), path.as_posix(), path.parts[0]
    for kind, target in INCLUDE.findall(text):
        problem = None
        if kind == "<":
            if name.startswith(SIMD_FOLDERS) and target not in SIMD_SYSTEM_HEADERS:
                problem = f"{path}: <{target}> in a file with special instruction flags"
        elif top == "src" and len(path.parts) > 2:
            problem = check_library_include(path, path.parts[1], target, reachable(path.parts[1]))
        elif top == "kernels" and not target.startswith("kernels/") and (path.parent / target) not in files:
            problem = f"{path}: kernels/ is a leaf and may not include \"{target}\""
        elif top in OUTSIDE:
            problem = check_outside_include(path, target, files)
        if problem:
            yield problem


def unknown_folders(files):
    layers = {path.parts[1] for path in files if path.parts[0] == "src" and len(path.parts) > 2}
    return [f"src/{layer}: not in the table BELOW" for layer in sorted(layers - BELOW.keys())]


def main():
    files = set(repository_files())
    problems = unknown_folders(files)
    for path in sorted(files):
        if path.suffix in C_SUFFIXES:
            problems.extend(problems_of(path, files))
    finish("includes", problems)


if __name__ == "__main__":
    main()
