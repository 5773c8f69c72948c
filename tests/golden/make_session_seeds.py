"""Writes fuzz/seeds/session: saved sessions in the layout of src/engine/session_file.h, checksums included."""

import pathlib
import struct

SEEDS = pathlib.Path(__file__).parent.parent / "fuzz" / "seeds" / "session"
MASK = (1 << 64) - 1
WORD, LANE = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95
LANES = (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89)
F16, F32 = 0, 1
LAYER = (1, 16, 16, 0)  # KV heads, their size, that of values, no window
BLOCK_TOKENS = 16


def rotl(x, n):
    return (x << n | x >> (64 - n)) & MASK


def mix(x):
    x = (x ^ x >> 32) * WORD & MASK
    x = (x ^ x >> 29) * LANE & MASK
    return x ^ x >> 32


def checksum(data):
    lanes = list(LANES)
    padded = data + bytes(-len(data) % 32)
    for i, (word,) in enumerate(struct.iter_unpack("<Q", padded)):
        lanes[i % 4] = (rotl((lanes[i % 4] ^ word * WORD & MASK) * LANE & MASK, 29) + WORD) & MASK
    total = mix(len(data))
    for lane in lanes:
        total = (rotl(total, 17) + mix(lane)) & MASK
    return mix(total)


def session(tokens, turns, kv_tokens=0, kv_type=F16):
    """`turns`: (kept, replaced tokens), oldest first."""
    element = 4 if kv_type == F32 else 2
    blocks = -(-kv_tokens // BLOCK_TOKENS)
    kv = bytes()
    for block in range(blocks):
        slots = min(BLOCK_TOKENS, kv_tokens - block * BLOCK_TOKENS)
        keys = [[(d + 1) * (slot + 1) if slot < slots else 0 for slot in range(BLOCK_TOKENS)] for d in range(LAYER[1])]
        values = [[slot * 16 + d if slot < slots else 0 for d in range(LAYER[2])] for slot in range(BLOCK_TOKENS)]
        for rows in (keys, values):
            kv += b"".join(number.to_bytes(element, "little") for row in rows for number in row)
    name = b"tiny"
    replaced = [token for _, old in turns for token in old]
    layers = struct.pack("<4I", *LAYER) if kv_tokens else b""
    text = name + struct.pack(f"<{len(tokens)}i", *tokens)
    text += b"".join(struct.pack("<2I", kept, len(old)) for kept, old in turns)
    text += struct.pack(f"<{len(replaced)}i", *replaced) + layers
    total = 72 + len(text) + 8 + len(kv) + 8
    fixed = struct.pack("<8s2I3Q8I", b"FSVSES\x1a\n", 1, 1, total, len(kv), 0, 300, len(name), len(tokens), len(turns),
                        len(replaced), kv_tokens, kv_type, 1 if kv_tokens else 0)
    data = fixed + text
    data += struct.pack("<Q", checksum(data))
    data += kv
    return data + struct.pack("<Q", checksum(data))


def main():
    SEEDS.mkdir(parents=True, exist_ok=True)
    count = lambda n: list(range(20, 20 + n))
    for name, data in {
        "empty": session([], []),
        "text": session(count(5), [(0, [])]),
        "turns": session(count(36), [(0, []), (20, []), (20, count(10))]),
        "kv": session(count(20), [(0, []), (12, [7, 8, 9])], kv_tokens=20),
        "kv_behind": session(count(40), [(0, [])], kv_tokens=33),
        "kv_of_another_type": session(count(20), [(0, [])], kv_tokens=20, kv_type=F32),
    }.items():
        (SEEDS / name).write_bytes(data)


if __name__ == "__main__":
    main()
