"""Several adapters on one base -> test/golden/peft-several/, peft-mlp-several/.

Each adapter has its folder, as PeftModel.save_pretrained writes it; expected.safetensors holds the logits of each
alone (`logits.a`), of several active in an order (`logits.a+b`) with the merged weights (`merged.a+b.…`), and of a
batch whose rows are answered by one each (`mixed.ids`, `mixed.a|base|b|a`). `mix` is 0.7 a - 1.5 b by
add_weighted_adapter ("cat").
"""

from common import save

from adapters import GPT2, MLP, Base, Tensors, folder_of, logits_of, merged_weights, save_adapter

from copy import deepcopy

import torch
from peft import LoraConfig, PeftModel, get_peft_model

WEIGHTS = {"a": 0.7, "b": -1.5}


def together(base: Base, seed: int, configs: dict[str, LoraConfig]) -> PeftModel:
    """All adapters on one model, in evaluation mode, moved away from their starts."""
    torch.manual_seed(seed)
    (first, config), *others = configs.items()
    model = get_peft_model(base.load(), config, adapter_name=first)
    for name, config in others:
        model.add_adapter(name, config)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if ".lora_" in n or ".modules_to_save." in n:
                p.add_(0.3 * torch.randn(p.shape))
    return model.eval()


def mix(model: PeftModel) -> None:
    """The weighted sum as one adapter, checked without PEFT."""
    model.add_weighted_adapter(list(WEIGHTS), list(WEIGHTS.values()), "mix", combination_type="cat")
    for layer in (m for m in model.modules() if "mix" in getattr(m, "lora_A", {})):
        parts = [w * layer.get_delta_weight(n) for n, w in WEIGHTS.items() if n in layer.lora_A]
        assert torch.allclose(layer.get_delta_weight("mix"), sum(parts), atol=1e-5)


def active(base: Base, model: PeftModel, *names: str) -> Tensors:
    model.base_model.set_adapter(list(names))  # PeftModel's own set_adapter takes one alone
    logits, key = logits_of(model, base.batch()[0]), "+".join(names)
    result = {f"logits.{key}": logits}
    if len(names) > 1:
        merged = merged_weights(base, deepcopy(model))
        assert (merged.pop("logits_merged") - logits).abs().max() < 1e-12
        result |= {n.replace("merged.", f"merged.{key}.", 1): p for n, p in merged.items()}
    return result


def mixed(base: Base, model: PeftModel, alone: Tensors, *rows: str) -> Tensors:
    """Row i is the batch's first row, answered by the adapter rows[i] ('base': by none)."""
    model.base_model.set_adapter([rows[0]])
    ids = base.batch()[0][:1].expand(len(rows), -1)
    logits = logits_of(model, ids, adapter_names=["__base__" if n == "base" else n for n in rows])
    for n, row in zip(rows, logits, strict=True):
        assert n == "base" or (row - alone[f"logits.{n}"][0]).abs().max() < 1e-12
    return {"mixed.ids": ids, f"mixed.{'|'.join(rows)}": logits}


def several(base: Base, name: str, model: PeftModel, orders: list[str], rows: list[str]) -> None:
    folder = folder_of(name)
    save_adapter(model, folder)
    model = model.double()
    result = {"ids": base.batch()[0]}
    for n in list(model.peft_config):
        result |= active(base, model, n)
    for order in orders:
        result |= active(base, model, *order.split("+"))
    for row in rows:
        result |= mixed(base, model, result, *row.split("|"))
    save(result, folder / "expected.safetensors")


def on_gpt2() -> None:
    common = {"fan_in_fan_out": True, "task_type": "CAUSAL_LM"}
    a = LoraConfig(r=2, lora_alpha=5, target_modules=["attn.c_attn"], **common)
    b = LoraConfig(r=3, lora_alpha=4, target_modules=["h.1.attn.c_attn", "h.0.attn.c_proj"], use_rslora=True, **common)
    model = together(GPT2, 80, {"a": a, "b": b})
    mix(model)
    several(GPT2, "several", model, ["a+b"], ["a|base|b|a"])


def on_mlp() -> None:
    """c trains a head of its own, and so has no row beside a, whose copy of it PEFT would look for; d is DoRA."""
    a = LoraConfig(r=2, lora_alpha=5, target_modules=["embed", "fc1"])
    b = LoraConfig(r=3, lora_alpha=4, target_modules=["fc1", "head"], use_rslora=True)
    d = LoraConfig(r=2, lora_alpha=3, target_modules=["embed", "fc1", "fc2"], use_dora=True)
    several(MLP, "mlp-several", together(MLP, 81, {"a": a, "b": b, "d": d}), ["a+d", "d+a", "b+a+d"], ["a|base|b|a"])
    c = LoraConfig(r=2, lora_alpha=5, target_modules=["fc2"], modules_to_save=["head"])
    several(MLP, "mlp-several-head", together(MLP, 82, {"c": c}), [], ["c|base"])


if __name__ == "__main__":
    on_gpt2()
    on_mlp()
