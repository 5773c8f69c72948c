"""The library inside a Python process that has torch loaded: another C++ runtime, another thread pool, another allocator.
Both go on giving the answers that they give alone. usage: torch_test.py <libfastserve.so> <quiet_host's model.gguf>"""

import ctypes
import pathlib
import sys


def main():
    library, model = sys.argv[1:3]
    if not pathlib.Path(model).exists():
        print(f"SKIPPED: {model} is missing")
        return 0
    try:
        import torch
    except ImportError:
        print("SKIPPED: there is no torch here")
        return 0
    torch.manual_seed(1)
    a, b = torch.randn(64, 64), torch.randn(64, 64)
    before = a @ b
    fsv = ctypes.CDLL(library)
    config = (ctypes.c_uint8 * 4096)()
    engine = ctypes.c_void_p()
    size, info = ctypes.c_size_t(), ctypes.create_string_buffer(1 << 22)
    for _ in range(3):
        fsv.fsv_engine_config_init(config, len(config))
        assert fsv.fsv_engine_create(config, ctypes.byref(engine), None) == 0
        text = str(model).encode()
        assert fsv.fsv_model_inspect_json(text, ctypes.c_size_t(len(text)), info, ctypes.c_size_t(len(info)),
                                          ctypes.byref(size), None) == 0
        assert torch.equal(a @ b, before)
        assert fsv.fsv_engine_release(engine, None) == 0
    assert b'"llama"' in info.raw[:size.value]
    assert torch.equal(a @ b, before)
    try:
        torch.zeros(2)[5]
        raise AssertionError("torch's own exceptions still work")
    except IndexError:
        pass
    print("torch and the library get along")
    return 0


if __name__ == "__main__":
    sys.exit(main())
