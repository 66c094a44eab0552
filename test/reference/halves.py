"""float16 and bfloat16: widening every pattern, rounding chosen float32 values -> test/golden/halves.safetensors, .json.

A NaN's payload differs between processors, so every NaN is stored and hashed as the one canonical NaN of its type.
"""

import hashlib

from common import GOLDEN, generator, save, save_json

import torch

HALVES = {"f16": torch.float16, "bf16": torch.bfloat16}
CANONICAL_NAN = {torch.float32: 0x7FC00000, torch.float16: 0x7E00, torch.bfloat16: 0x7FC0}
PATTERNS = torch.arange(65536, dtype=torch.int32).to(torch.int16)  # wraps: the bits 0x0000 to 0xffff in order


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.view(torch.int32 if x.dtype == torch.float32 else torch.int16)


def canonical(x: torch.Tensor) -> torch.Tensor:
    nan = torch.tensor(CANONICAL_NAN[x.dtype], dtype=torch.int64).to(bits(x).dtype)
    return torch.where(x.isnan(), nan, bits(x)).view(x.dtype)


def sha256(x: torch.Tensor) -> str:
    return hashlib.sha256(x.numpy().astype(x.numpy().dtype.newbyteorder("<")).tobytes()).hexdigest()


def from_bits(patterns: torch.Tensor) -> torch.Tensor:
    return patterns.to(torch.int32).view(torch.float32)


def inputs() -> torch.Tensor:
    """4,096 float32 values where rounding can go wrong, and some at random."""
    edges = torch.tensor(
        [0.0, 65504, 65519.996, 65520, 65536, 2**-14, 2**-24, 2**-25, 1.5 * 2**-24, 2**-26, 2**-126, 2**-149, 1e-40]
        + [3.3895313892515355e38, 3.3961775e38, 3.4028234663852886e38, float("inf"), float("nan"), 1 / 3, 0.1, 1.0]
    )
    random = generator(5)
    # one step of float32 below, at and above the midpoint of two neighbouring halves: ties go to even
    middle16 = torch.randint(0, 0x7C00, (200,), generator=random, dtype=torch.int32).to(torch.int16).view(torch.float16)
    next16 = (middle16.view(torch.int16) + 1).view(torch.float16)
    ties16 = bits(((middle16.double() + next16.double()) / 2).nan_to_num(posinf=65520).float())
    ties_bf16 = torch.randint(0, 0x7F80, (200,), generator=random) * 65536 + 32768
    ties = torch.cat([ties16.long(), ties_bf16])
    ties = from_bits(torch.cat([ties - 1, ties, ties + 1]))
    # any bits at all, and numbers near float16's range
    anything = from_bits(torch.randint(0, 2**31, (600,), generator=random))
    count = 2048 - len(edges) - len(ties) - len(anything)
    near16 = torch.exp2(44 * torch.rand(count, generator=random, dtype=torch.float64) - 27).float()
    positive = torch.cat([edges, ties, anything, near16])
    return canonical(torch.cat([positive, -positive]))


if __name__ == "__main__":
    x = inputs()
    assert x.shape == (4096,) and x.isnan().sum() < 50
    tensors, hashes = {"f32": x}, {}
    sample = torch.arange(0, 65536, 61)  # an odd step: every exponent and every low bit occurs
    for name, dtype in HALVES.items():
        widened = canonical(PATTERNS.view(dtype).float())
        hashes[f"{name}.to_f32.sha256"] = sha256(widened)
        tensors[f"{name}.sample.f32"] = widened[sample]
        rounded = canonical(x.to(dtype))
        assert torch.equal(bits(canonical(widened.to(dtype))), bits(canonical(PATTERNS.view(dtype))))
        tensors[f"{name}.rounded"] = rounded
    tensors["sample"] = sample.to(torch.int32)
    save(tensors, GOLDEN / "halves.safetensors")
    about = "sha256 of the 65,536 float32 values (little-endian, every NaN as 0x7fc00000) that the patterns 0 to 65535 widen to"
    save_json({"about": about} | hashes, GOLDEN / "halves.json")
