"""Adapters that PEFT makes on test/golden/gpt2, and what PEFT computes with them -> test/golden/peft-*/.

Every folder is what PeftModel.save_pretrained writes, less its README.md, plus expected.safetensors.
"""

from common import GOLDEN, batch, fresh, load_base, readable, save, token_loss

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict

ALL_LINEAR = ["c_attn", "c_proj", "c_fc"]


def adapter_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    """Adapter tensors under the names they have in adapter_model.safetensors."""
    return {k: v.detach().clone() for k, v in get_peft_model_state_dict(model, save_embedding_layers=False).items()}


def adapter_gradients(model: PeftModel) -> dict[str, torch.Tensor]:
    """Their gradients under the same names: PEFT's own names less the adapter's name, 'default'."""
    named = {n.replace(".default", ""): p.grad for n, p in model.named_parameters() if p.requires_grad}
    # the DoRA magnitude is a .weight in memory and has no .weight in the file
    return {n.replace("_vector.weight", "_vector"): g for n, g in named.items()}


def make(seed: int, **options: object) -> PeftModel:
    torch.manual_seed(seed)
    return get_peft_model(load_base(), LoraConfig(lora_dropout=0.0, **options)).eval()


def save_adapter(model: PeftModel, folder: Path) -> None:
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    readable(folder / "adapter_model.safetensors")


def expect(model: PeftModel) -> dict[str, torch.Tensor]:
    """logits, loss, adapter gradients, merged weights and logits after the merge, in float64."""
    ids, labels = batch()
    with torch.no_grad():
        logits_f32 = model(ids).logits
    base = {n: p.detach().clone() for n, p in load_base(torch.float64).named_parameters()}
    model = model.double()
    logits = model(ids).logits
    loss = token_loss(logits, labels)
    loss.backward()
    gradients = adapter_gradients(model)
    assert gradients.keys() == adapter_tensors(model).keys()
    result = {"ids": ids, "labels": labels, "logits": logits, "loss": loss, "logits_f32": logits_f32}
    result |= {f"grad.{k}": g for k, g in gradients.items()}

    merged = model.merge_and_unload()
    logits_merged = merged(ids).logits
    assert (logits_merged - logits).abs().max() < 1e-12
    changed = {n: p for n, p in merged.named_parameters() if not torch.equal(p, base[n])}
    assert len(changed) == len({k.rsplit(".lora_", 1)[0] for k in gradients})
    return result | {"logits_merged": logits_merged} | {f"merged.{n}": p for n, p in changed.items()}


def check_by_hand(model: PeftModel, scale: float, merged: dict[str, torch.Tensor]) -> None:
    """W + scale (B A)^T, without PEFT, is what PEFT merged (plain LoRA only)."""
    lora = adapter_tensors(model)
    base = dict(load_base(torch.float64).named_parameters())
    for name in (n.removeprefix("merged.") for n in merged if n.startswith("merged.")):
        path = "base_model.model." + name.removesuffix(".weight")
        a, b = (lora[f"{path}.lora_{side}.weight"].double() for side in "AB")  # [r, in], [out, r]
        assert (base[name] + scale * (b @ a).T - merged[f"merged.{name}"]).abs().max() < 1e-14, name


def adapter(name: str, seed: int, scale: float | None, **options: object) -> None:
    """One folder: a random adapter (A and B both nonzero), and what is expected of it."""
    model = make(seed, init_lora_weights=False, fan_in_fan_out=True, **options)
    if options.get("use_dora"):  # PEFT starts the magnitudes at the norms, where DoRA is plain LoRA: move away
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "lora_magnitude_vector" in n:
                    p.mul_(1 + 0.2 * torch.randn(p.shape))
    folder = fresh(name)
    save_adapter(model, folder)
    expected = expect(loaded_again(model, folder))
    if scale is not None:
        check_by_hand(model, scale, expected)
    save(expected, folder / "expected.safetensors")


def loaded_again(model: PeftModel, folder: Path) -> PeftModel:
    """The adapter as PEFT loads it from the folder: what is stored is what is expected."""
    again = PeftModel.from_pretrained(load_base(), folder, is_trainable=True).eval()
    assert all(torch.equal(v, adapter_tensors(again)[k]) for k, v in adapter_tensors(model).items())
    return again


def train(steps: int = 5) -> None:
    """Five AdamW steps in float64 on A and B alone, from PEFT's default start (A Kaiming uniform, B = 0)."""
    folder = fresh("peft-train-start")
    model = make(15, r=3, lora_alpha=6, target_modules=ALL_LINEAR, fan_in_fan_out=True, task_type="CAUSAL_LM")
    save_adapter(model, folder)
    ids, labels = batch()
    model = model.double().train()
    adamw = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    losses, result = [], {"ids": ids, "labels": labels}
    for step in range(1, steps + 1):
        adamw.zero_grad()
        loss = token_loss(model(ids).logits, labels)
        loss.backward()
        losses.append(loss.detach())
        if step == 1:
            result |= {f"grad.{k}": g.clone() for k, g in adapter_gradients(model).items()}
        adamw.step()
        if step in (1, steps):
            result |= {f"after{step}.{k}": v for k, v in adapter_tensors(model).items()}
    save(result | {"losses": torch.stack(losses)}, folder / "expected.safetensors")


if __name__ == "__main__":
    assert (GOLDEN / "gpt2").is_dir(), "run gpt2.py first"
    adapter("peft-all-linear", 11, 6 / 3, r=3, lora_alpha=6, target_modules=ALL_LINEAR, task_type="CAUSAL_LM")
    adapter("peft-c-attn", 12, 5 / 2, r=2, lora_alpha=5, target_modules=["c_attn"])  # no task type: auto_mapping
    adapter("peft-dora", 13, None, r=2, lora_alpha=5, target_modules=["c_attn"], use_dora=True)
    adapter("peft-rslora", 14, 5 / 2**0.5, r=2, lora_alpha=5, target_modules=["c_attn"], use_rslora=True)
    train()
