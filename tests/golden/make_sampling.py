#!/usr/bin/env python3
"""Writes tests/golden/sampling/distributions.txt: what samplers must draw from, by independent implementations.

Stages that transformers has are computed by its logits processors (repetition penalty, temperature, top-k, top-p,
min-p, typical); the others from their published definitions, naively, in float64 with numpy.
Needs torch, transformers, numpy.

Format, one case after another:
  case NAME / set KEY VALUE... / logits ... / history ... / expect ID:PROBABILITY ... / end
Mirostat cases hold several draws: `draw ID MU_AFTER` follows each expect.
"""
import pathlib

import numpy as np
import torch
from transformers.generation import logits_process as lp

rng = np.random.default_rng(20240517)
OUT = pathlib.Path(__file__).parent / "sampling" / "distributions.txt"
BREAKERS = [3, 7]


def softmax(x):
    finite = np.isfinite(x)
    e = np.where(finite, np.exp(x - x[finite].max()), 0.0)
    return e / e.sum()


def hf(processor, x, history):
    ids = torch.tensor([list(history) or [0]], dtype=torch.long)
    return processor(ids, torch.tensor(x[None, :], dtype=torch.float64))[0].numpy()


def logit_bias(x, p, h):
    x = x.copy()
    for token, bias in p["logit_bias"]:
        x[token] += bias
    return x


def penalties(x, p, h):
    window = list(h) if p.get("penalty_window", 64) < 0 else list(h)[-p.get("penalty_window", 64):] if p.get("penalty_window", 64) else []
    if p.get("repetition_penalty", 1.0) != 1.0 and window:
        x = hf(lp.RepetitionPenaltyLogitsProcessor(p["repetition_penalty"]), x, window)
    x = x.copy()
    for token in set(window):
        x[token] -= window.count(token) * p.get("frequency_penalty", 0.0) + p.get("presence_penalty", 0.0)
    return x


def dry(x, p, h):
    """As its author describes it: look at every earlier place, walk back while both sides agree, stop at breakers."""
    h = list(h) if p.get("dry_window", -1) < 0 else list(h)[-p["dry_window"]:]
    breakers = set(p.get("dry_breakers", []))
    x = x.copy()
    if not h or h[-1] in breakers:
        return x
    longest = {}
    for i in range(len(h) - 1):
        if h[i] != h[-1] or h[i + 1] in breakers:
            continue
        length = 1
        while i - length >= 0 and h[i - length] == h[-1 - length] and h[-1 - length] not in breakers:
            length += 1
        longest[h[i + 1]] = max(longest.get(h[i + 1], 0), length)
    for token, length in longest.items():
        if length >= p.get("dry_allowed_length", 2):
            x[token] -= p["dry_multiplier"] * p.get("dry_base", 1.75) ** (length - p.get("dry_allowed_length", 2))
    return x


def top_n_sigma(x, p, h):
    finite = x[np.isfinite(x)]
    return np.where(x >= finite.max() - p["top_n_sigma"] * finite.std(), x, -np.inf)


def xtc(x, p, h):
    """With xtc_probability 1."""
    q = softmax(x)
    above = [i for i in np.argsort(-q, kind="stable") if q[i] >= p["xtc_threshold"]]
    x = x.copy()
    x[above[:-1]] = -np.inf
    return x


def temperature(x, p, h):
    if "dynamic_temperature_range" in p:
        q = softmax(x)
        positive = q[q > 0]
        entropy = -(positive * np.log(positive)).sum() / np.log(np.isfinite(x).sum())
        low, high = max(0.0, p["temperature"] - p["dynamic_temperature_range"]), p["temperature"] + p["dynamic_temperature_range"]
        t = low + (high - low) * entropy ** p.get("dynamic_temperature_exponent", 1.0)
        return x / t
    return hf(lp.TemperatureLogitsWarper(float(p["temperature"])), x, h)


STAGES = {
    "logit_bias": ("logit_bias", logit_bias),
    "penalties": (("repetition_penalty", "presence_penalty", "frequency_penalty"), penalties),
    "dry": ("dry_multiplier", dry),
    "top_n_sigma": ("top_n_sigma", top_n_sigma),
    "top_k": ("top_k", lambda x, p, h: hf(lp.TopKLogitsWarper(p["top_k"]), x, h)),
    "typical_p": ("typical_p", lambda x, p, h: hf(lp.TypicalLogitsWarper(p["typical_p"]), x, h)),
    "top_p": ("top_p", lambda x, p, h: hf(lp.TopPLogitsWarper(p["top_p"]), x, h)),
    "min_p": ("min_p", lambda x, p, h: hf(lp.MinPLogitsWarper(p["min_p"]), x, h)),
    "xtc": ("xtc_probability", xtc),
    "temperature": ("temperature", temperature),
}


def apply(x, p, h):
    for name in p.get("order", list(STAGES)):
        keys, function = STAGES[name]
        if any(key in p for key in ((keys,) if isinstance(keys, str) else keys)):
            x = function(x, p, h)
    return x


def mirostat_cut(x, p, mu):
    q = softmax(x)
    order = np.argsort(-q, kind="stable")
    if p["mirostat"] == 1:
        m = min(100, len(q))
        t = np.log((np.arange(m - 1) + 2.0) / (np.arange(m - 1) + 1.0))
        b = np.log(q[order[: m - 1]] / q[order[1:m]])
        s = (t * b).sum() / (t * t).sum()
        e = s - 1
        k = max(int((e * 2.0**mu / (1 - len(q) ** -e)) ** (1 / s)), 1)
        keep = order[:k]
    else:
        keep = [i for rank, i in enumerate(order) if rank == 0 or -np.log2(q[i]) <= mu]
    out = np.full_like(x, -np.inf)
    out[keep] = x[keep]
    return out


def text(value):
    if isinstance(value, (list, tuple)):
        return " ".join(f"{v[0]}:{v[1]!r}" if isinstance(v, tuple) else str(v) for v in value)
    return repr(value)


def write_expect(lines, x):
    q = softmax(x)
    lines.append("expect " + " ".join(f"{i}:{q[i]:.6g}" for i in np.nonzero(q)[0]))


def case(lines, name, p, vocabulary=64, history=(), spread=2.0):
    written = [f"{v:.4g}" for v in rng.normal(size=vocabulary) * spread]
    x = np.array(written, dtype=np.float32)
    lines.append(f"case {name}")
    lines.extend(f"set {key} {text(value)}" for key, value in p.items())
    lines.append("logits " + " ".join(written))
    lines.append("history " + " ".join(map(str, history)))
    x = x.astype(np.float64)
    if "mirostat" in p:
        x = apply(x, {k: v for k, v in p.items() if k != "mirostat"}, history)
        mu = 2 * p["mirostat_tau"]
        for _ in range(6):
            cut = mirostat_cut(x, p, mu)
            write_expect(lines, cut)
            q = softmax(cut)
            token = int(rng.choice(len(q), p=q))
            mu -= p["mirostat_eta"] * (-np.log2(q[token]) - p["mirostat_tau"])
            lines.append(f"draw {token} {q[token]:.9g} {mu:.9g}")
    else:
        write_expect(lines, apply(x, p, history))
    lines.append("end")


def main():
    lines = []
    text_like = [5, 9, 12, 5, 9, 12, 3, 5, 9, 20, 5, 9, 12, 5, 9]
    looped = [1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 2]
    for i in range(4):
        k, t, q, m = int(rng.integers(2, 40)), round(float(rng.uniform(0.3, 2)), 3), round(float(rng.uniform(0.3, 0.99)), 3), round(float(rng.uniform(0.01, 0.4)), 3)
        for spread in (0.7, 3.0):
            case(lines, f"temperature_{i}_{spread}", {"temperature": t}, spread=spread)
            case(lines, f"top_k_{i}_{spread}", {"top_k": k}, spread=spread, vocabulary=200)
            case(lines, f"top_p_{i}_{spread}", {"top_p": q}, spread=spread, vocabulary=200)
            case(lines, f"min_p_{i}_{spread}", {"min_p": m}, spread=spread)
            case(lines, f"typical_{i}_{spread}", {"typical_p": q}, spread=spread, vocabulary=200)
            case(lines, f"sigma_{i}_{spread}", {"top_n_sigma": round(float(rng.uniform(0.3, 2.5)), 3)}, spread=spread)
            case(lines, f"chain_{i}_{spread}", {"top_k": k, "top_p": q, "min_p": m, "temperature": t}, spread=spread)
            case(lines, f"heat_first_{i}_{spread}", {"temperature": t, "top_k": k, "top_p": q, "min_p": m, "order": ["temperature", "top_k", "top_p", "min_p"]}, spread=spread)
            case(lines, f"typical_chain_{i}_{spread}", {"typical_p": q, "temperature": t, "min_p": m}, spread=spread)
            case(lines, f"xtc_{i}_{spread}", {"xtc_probability": 1.0, "xtc_threshold": round(float(rng.uniform(0.01, 0.2)), 3)}, spread=spread)
            case(lines, f"dynamic_{i}_{spread}", {"temperature": t, "dynamic_temperature_range": round(t * 0.6, 3), "dynamic_temperature_exponent": round(float(rng.uniform(0.5, 2)), 2), "top_k": k}, spread=spread)
        case(lines, f"repetition_{i}", {"repetition_penalty": round(float(rng.uniform(1.05, 1.6)), 3), "penalty_window": -1}, history=text_like)
        case(lines, f"repetition_window_{i}", {"repetition_penalty": 0.8, "penalty_window": i}, history=text_like)
        case(lines, f"presence_{i}", {"presence_penalty": round(float(rng.uniform(-2, 2)), 3), "frequency_penalty": round(float(rng.uniform(-1, 1)), 3), "penalty_window": 10}, history=text_like)
        case(lines, f"penalties_{i}", {"repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2, "top_k": 20, "temperature": t}, history=text_like)
        case(lines, f"penalties_last_{i}", {"repetition_penalty": 1.2, "frequency_penalty": 0.2, "top_k": 20, "temperature": t, "order": ["top_k", "temperature", "penalties"]}, history=text_like)
        case(lines, f"bias_{i}", {"logit_bias": [(3, 4.5), (9, -100.0), (11, -0.25)], "top_p": q})
        for name, history in (("text", text_like), ("loop", looped), ("short", [4]), ("empty", []), ("same", [6] * 12), ("random", [int(v) for v in rng.integers(0, 3, 60)])):
            case(lines, f"dry_{name}_{i}", {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 1 + i, "dry_window": [-1, 9, -1, 30][i]}, history=history)
            case(lines, f"dry_breakers_{name}_{i}", {"dry_multiplier": 1.1, "dry_base": 1.3, "dry_allowed_length": 1 + i, "dry_breakers": [2, 3]}, history=history)
        for version in (1, 2):
            case(lines, f"mirostat_{version}_{i}", {"mirostat": version, "mirostat_tau": [1.5, 3.0, 5.0, 2.0][i], "mirostat_eta": 0.1, "temperature": [1.0, 0.7, 1.3, 1.0][i]}, vocabulary=300)
    everything = {"logit_bias": [(1, 1.0)], "repetition_penalty": 1.1, "presence_penalty": 0.1, "dry_multiplier": 0.5, "top_n_sigma": 2.5, "top_k": 50, "typical_p": 0.98, "top_p": 0.97, "min_p": 0.005, "xtc_probability": 1.0, "xtc_threshold": 0.05, "temperature": 0.8}
    case(lines, "everything", everything, history=looped, vocabulary=300)
    case(lines, "everything_reversed", everything | {"order": list(STAGES)[::-1]}, history=looped, vocabulary=300)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
