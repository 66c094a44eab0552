"""Adapters that PEFT makes on test/golden/gpt2, and what PEFT computes with them -> test/golden/peft-*/.

Every folder is what PeftModel.save_pretrained writes, less its README.md, plus expected.safetensors.
"""

from common import GOLDEN, fresh, save

from adapters import GPT2, adamw, adapter_tensors, expect, load_adapter, logits_of, make, save_adapter, train

import torch

ALL_LINEAR = ["c_attn", "c_proj", "c_fc"]


def adapter(name: str, seed: int, **options: object) -> None:
    """One folder: a random adapter (A and B both nonzero), and what is expected of it."""
    model = make(GPT2, seed, init_lora_weights=False, fan_in_fan_out=True, **options)
    if options.get("use_dora"):  # PEFT starts the magnitudes at the norms, where DoRA is plain LoRA: move away
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "lora_magnitude_vector" in n:
                    p.mul_(1 + 0.2 * torch.randn(p.shape))
    folder = fresh(name)
    save_adapter(model, folder)
    expected = expect(GPT2, folder)
    assert sum(n.startswith("merged.") for n in expected) == sum(".lora_A." in n for n in adapter_tensors(model))
    with torch.no_grad():
        logits_f32 = logits_of(load_adapter(GPT2, folder), expected["ids"])
    save(expected | {"logits_f32": logits_f32}, folder / "expected.safetensors")


def train_all() -> None:
    """Five AdamW steps in float64 on A and B alone, from PEFT's default start (A Kaiming uniform, B = 0)."""
    folder = fresh("peft-train-start")
    model = make(GPT2, 15, r=3, lora_alpha=6, target_modules=ALL_LINEAR, fan_in_fan_out=True, task_type="CAUSAL_LM")
    save_adapter(model, folder)
    save(train(GPT2, model.double().train(), 5, adamw, keep=(1, 5)), folder / "expected.safetensors")


if __name__ == "__main__":
    assert (GOLDEN / "gpt2").is_dir(), "run gpt2.py first"
    adapter("peft-all-linear", 11, r=3, lora_alpha=6, target_modules=ALL_LINEAR, task_type="CAUSAL_LM")
    adapter("peft-c-attn", 12, r=2, lora_alpha=5, target_modules=["c_attn"])  # no task type: auto_mapping
    adapter("peft-dora", 13, r=2, lora_alpha=5, target_modules=["c_attn"], use_dora=True)
    adapter("peft-rslora", 14, r=2, lora_alpha=5, target_modules=["c_attn"], use_rslora=True)
    train_all()
