"""Writes fuzz/seeds/{safetensors,hf_config}: small cases from the folders of make_hf_folders.py."""

import json
import pathlib
import struct

TESTS = pathlib.Path(__file__).parent.parent


def main():
    seeds = TESTS / "fuzz" / "seeds"
    for kind in ("safetensors", "hf_config"):
        (seeds / kind).mkdir(parents=True, exist_ok=True)
    for folder in sorted((TESTS / "golden" / "hf").iterdir()):
        # Tensor names ride along as members, so that their mapping is fuzzed too.
        config = json.loads((folder / "config.json").read_text())
        names = []
        for file in sorted(folder.glob("*.safetensors")):
            raw = file.read_bytes()
            length = struct.unpack("<Q", raw[:8])[0]
            names += [name for name in json.loads(raw[8 : 8 + length]) if name != "__metadata__"]
        config.update({name: 0 for name in names[:12]})
        (seeds / "hf_config" / folder.name).write_text(json.dumps(config))
    for name, header, size in [
        ("empty", {}, 0),
        ("two", {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                 "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]}}, 26),
        ("metadata", {"__metadata__": {"format": "pt"},
                      "x.weight": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}, 8),
    ]:
        text = json.dumps(header).encode()
        (seeds / "safetensors" / name).write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))


if __name__ == "__main__":
    main()
