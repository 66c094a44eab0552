"""What merging must give, from the two files of an adapter alone: PEFT's own result is held against it."""

from common import json

import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file


def scale_of(config: dict, module: str, r: int) -> float:
    """alpha / r, or alpha / sqrt(r): a pattern is a name, or the end of one after a dot; the first counts."""

    def pick(patterns: dict, otherwise: float) -> float:
        return next((v for p, v in patterns.items() if re.match(rf"(.*\.)?({p})$", module)), otherwise)

    assert r == pick(config["rank_pattern"], config["r"])
    return pick(config["alpha_pattern"], config["lora_alpha"]) / (math.sqrt(r) if config["use_rslora"] else r)


def merged_by_hand(folder: Path, name: str, weight: torch.Tensor, conv1d: bool) -> torch.Tensor:
    """One parameter after the merge, in float64; weight is the base's (what is left of it, for PiSSA and OLoRA).

    W + s B A; DoRA: its rows scaled to the magnitudes. An embedding's and a Conv1D's weight is W^T.
    """
    config = json.loads((folder / "adapter_config.json").read_text())
    held = {k: v.double() for k, v in load_file(folder / "adapter_model.safetensors").items()}
    module, leaf = name.rsplit(".", 1)
    path = f"base_model.model.{module}"
    for whole in (f"{path}.{leaf}", f"{path}.base_layer.bias" if leaf == "bias" else ""):
        if whole in held:  # a module or a bias that was trained itself
            return held[whole]
    embedding = f"{path}.lora_embedding_A" in held
    a, b = (held[f"{path}.lora_embedding_{m}" if embedding else f"{path}.lora_{m}.weight"] for m in "AB")
    scale = scale_of(config, module, a.shape[0])
    if leaf == "bias":
        return weight + scale * held[f"{path}.lora_B.bias"]
    transposed = embedding or conv1d
    w = (weight.T if transposed else weight) + scale * b @ a
    if (magnitude := held.get(f"{path}.lora_magnitude_vector")) is not None:
        w = magnitude[:, None] * w / w.norm(dim=1, keepdim=True)
    return w.T if transposed else w
