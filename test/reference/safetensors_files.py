"""Small files written by the safetensors library, with their contents as JSON -> test/golden/safetensors/.

For each NAME.safetensors, NAME.json holds `metadata` and, for each tensor, `dtype`, `shape`, `hex` (its bytes as they
lie in the file) and `values` (row-major; 64-bit integers, NaN, infinities and -0 as strings).
"""

import math
from pathlib import Path

from common import fresh, readable, save_json

import torch
from safetensors import safe_open
from safetensors.torch import save_file

INF, NAN = math.inf, math.nan
INTEGERS = {torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8"}
WIDE = {torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16"}
FLOATS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
EIGHT_BIT = {torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2"}
NAMES = INTEGERS | WIDE | FLOATS | EIGHT_BIT | {torch.bool: "BOOL", torch.complex64: "C64"}


def extremes(dtype: torch.dtype) -> torch.Tensor:
    """Shape [2, 3]: the ends of the type's range and its special values."""
    if dtype in FLOATS:
        info = torch.finfo(dtype)
        return torch.tensor([[0.1, -0.0, info.max], [info.smallest_normal, -INF, 1.0]], dtype=torch.float64).to(dtype)
    if dtype == torch.bool:
        return torch.tensor([[True, False, True], [False, False, True]])
    info = torch.iinfo(dtype)
    return torch.tensor([[0, 1, 2], [info.min, info.max, 100]], dtype=dtype)


def number(v: object) -> object:
    if isinstance(v, (bool, complex)):
        return v if isinstance(v, bool) else [v.real, v.imag]
    if isinstance(v, float) and (not math.isfinite(v) or (v == 0 and math.copysign(1, v) < 0)):
        return "NaN" if math.isnan(v) else "-0" if v == 0 else "Infinity" if v > 0 else "-Infinity"
    return v


def describe(name: str, t: torch.Tensor) -> dict[str, object]:
    flat = t.flatten()
    raw = flat.view(torch.uint8).tolist() if t.numel() else []
    wide = t.dtype in (torch.int64, torch.uint64)
    values = [str(v) if wide else number(v) for v in flat.tolist()]
    return {"name": name, "dtype": NAMES[t.dtype], "shape": list(t.shape), "hex": bytes(raw).hex(), "values": values}


def write(folder: Path, name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> None:
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, metadata=metadata)
    readable(path)
    with safe_open(path, "pt") as file:
        assert (file.metadata() or None) == (metadata or None) and set(file.keys()) == set(tensors)
    save_json({"metadata": metadata, "tensors": [describe(n, t) for n, t in tensors.items()]}, folder / f"{name}.json")


if __name__ == "__main__":
    folder = fresh("safetensors")
    kinds = INTEGERS | FLOATS | {torch.bool: "BOOL"}
    write(folder, "dtypes", {label: extremes(dtype) for dtype, label in kinds.items()}, {"format": "pt"})
    shapes = {
        "scalar": torch.tensor(2.5),
        "scalar_i64": torch.tensor(-(2**53) - 1),
        "empty": torch.zeros(0),
        "empty_rows": torch.zeros(3, 0, 2),
        "odd_bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "odd_halves": torch.tensor([1.5, -2.0, 65504.0], dtype=torch.float16),
        "rank5": torch.arange(8, dtype=torch.float32).reshape(1, 2, 1, 2, 2),
    }
    write(folder, "shapes", shapes, None)
    special = torch.tensor([NAN, INF, -INF, -0.0, 1e-45])
    note = {"note": "naïve \"quotes\" \\ and\nlines, 日本語 🙂"}
    write(folder, "names", {"naïve/ß 日本 🙂": special, 'a "quoted".weight': torch.ones(1), "__proto__": torch.ones(1)}, note)
    write(folder, "no-tensors", {}, {"format": "pt"})
    write(folder, "unsigned", {label: extremes(dtype) for dtype, label in WIDE.items()}, None)
    eight = {label: torch.tensor([1.0, -0.5]).to(dtype) for dtype, label in EIGHT_BIT.items()}
    write(folder, "eight-bit", {"F32": torch.ones(2)} | eight, None)
    write(folder, "complex", {"C64": torch.tensor([1 + 2j])}, None)
