"""Adapters from each start (init_lora_weights), trained for three steps -> test/golden/peft-{gaussian,pissa,…}/.

expected.safetensors also holds the factors before training (`start.…`, float32). PiSSA and OLoRA take their product
out of the base: `residual.…` is what PEFT leaves there (float32); loading their files does the decomposition again.
-converted is the same training as a plain adapter of twice the rank: [A; A0], [B, -B0].
"""

from common import save

from adapters import GPT2, MLP, Base, Tensors, adamw, adapter_tensors, expect, folder_of, logits_of, make, save_adapter
from adapters import train

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft import PeftModel

STEPS = 3


def residuals(base: Base, model: PeftModel) -> Tensors:
    """The base's parameters that the start changed, under their names in the base."""
    names = {n: n.removeprefix("base_model.model.").replace(".base_layer", "") for n, _ in model.named_parameters()}
    before = dict(base.load().named_parameters())
    held = {names[n]: p.detach().clone() for n, p in model.named_parameters() if names[n] in before}
    return {n: p for n, p in held.items() if not torch.equal(p, before[n])}


def check_start(base: Base, start: Tensors, left: Tensors, scale: float, fan_in_fan_out: bool, init: str) -> None:
    """W = residual + scale B A, and what of W the product is, without PEFT."""
    weights = dict(base.load().double().named_parameters())
    paths = {k.rsplit(".lora_", 1)[0] for k in start}
    assert len(left) == (len(paths) if init in ("pissa", "olora") else 0)
    for path in paths:
        a, b = (start[f"{path}.lora_{side}.weight"].double() for side in "AB")  # [r, in], [out, r]
        name = path.removeprefix("base_model.model.") + ".weight"
        w = weights[name].T if fan_in_fan_out else weights[name]  # [out, in]
        r = a.shape[0]
        if init == "pissa":  # scale B A is the best approximation of rank r, and B and A share it evenly
            u, s, vh = torch.linalg.svd(w, full_matrices=False)
            product = u[:, :r] * s[:r] @ vh[:r]
            assert torch.allclose(b.T @ b, a @ a.T, atol=1e-6)
            assert torch.allclose(a @ a.T * scale, s[:r].diag(), atol=1e-5)
        elif init == "olora":  # the first r of Q R, times the scale: PEFT does not divide by it
            q, triangle = torch.linalg.qr(w)
            product = scale * q[:, :r] @ triangle[:r]
        else:  # nothing of it: B is zero, or the rows of A are orthogonal to the columns of B
            product = torch.zeros_like(w)
        assert (scale * b @ a - product).abs().max() < 5e-6, name
        if name in left:
            stored = left[name].T if fan_in_fan_out else left[name]
            assert (stored + scale * b @ a - w).abs().max() < 1e-6, name


def started(base: Base, name: str, seed: int, init: str, r: int, alpha: int, **options: object) -> None:
    model = make(base, seed, init_lora_weights=init, r=r, lora_alpha=alpha, **options)
    start, left = adapter_tensors(model), residuals(base, model)
    check_start(base, start, left, alpha / r, bool(options.get("fan_in_fan_out")), init)
    ids, _ = base.batch()
    assert (logits_of(model, ids) - logits_of(base.load(), ids)).abs().max() < 1e-5
    with TemporaryDirectory() as temporary:
        initial = Path(temporary) / "initial"
        save_adapter(model, initial)
        train(base, model.double().train(), STEPS, adamw, keep=())
        model = model.float().eval()
        folder = folder_of(name)
        save_adapter(model, folder)
        expected = expect(base, folder)
        extra = {f"start.{k}": v for k, v in start.items()} | {f"residual.{k}": v for k, v in left.items()}
        save(expected | extra, folder / "expected.safetensors")
        if left:
            convert(base, model, name, initial, expected)


def convert(base: Base, model: PeftModel, name: str, initial: Path, plain: Tensors) -> None:
    folder = folder_of(f"{name}-converted")
    save_adapter(model, folder, path_initial_model_for_weight_conversion=str(initial))
    expected = expect(base, folder)
    assert (expected["logits"] - plain["logits"]).abs().max() < 1e-5  # the residual was rounded to float32
    save(expected, folder / "expected.safetensors")


if __name__ == "__main__":
    gpt2 = {"target_modules": ["h.1.attn.c_attn"], "fan_in_fan_out": True, "task_type": "CAUSAL_LM"}
    started(GPT2, "gaussian", 70, "gaussian", 3, 6, **gpt2)
    started(GPT2, "orthogonal", 71, "orthogonal", 4, 6, **gpt2)
    started(GPT2, "pissa", 72, "pissa", 3, 5, **gpt2)  # no OLoRA here: PEFT's forgets that a Conv1D is transposed
    mlp = {"target_modules": ["fc1", "fc2"]}
    started(MLP, "mlp-orthogonal", 73, "orthogonal", 2, 3, **mlp)
    started(MLP, "mlp-pissa", 74, "pissa", 2, 5, **mlp)
    started(MLP, "mlp-olora", 75, "olora", 3, 4, **mlp)
