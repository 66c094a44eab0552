"""Five steps of AdamW from PEFT's default start, float64 -> test/golden/peft-train-loraplus/, peft-mlp-train-*/ etc.

Each folder is the start as save_pretrained writes it, plus expected.safetensors: losses, the first gradients, what
trains after steps 1 and 5. groups.json lists LoRA+'s groups, as PEFT makes them. (peft_lora.py's peft-train-start is
plain.)
"""

from common import save, save_json

from adapters import GPT2, MLP, Base, adamw, file_names, folder_of, make, save_adapter, train

from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer

STEPS = 5
Optimizer = Callable[[PeftModel], torch.optim.Optimizer]


def loraplus(model: PeftModel) -> torch.optim.Optimizer:
    return create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=5e-3, loraplus_lr_ratio=4, loraplus_weight_decay=0.01, loraplus_lr_embedding=2e-3
    )  # fmt: skip


def lora_fa(model: PeftModel) -> torch.optim.Optimizer:
    """A is frozen, B learns by plain AdamW; PEFT's own LoRA-FA optimiser also corrects B's gradient."""
    for n, p in model.named_parameters():
        if ".lora_A." in n:
            p.requires_grad = False
    return adamw(model)


def groups(model: PeftModel, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    names = {id(model.get_parameter(n)): k for k, n in file_names(model).items()}
    rows = [
        {"lr": g["lr"], "weightDecay": g["weight_decay"], "parameters": [names[id(p)] for p in g["params"]]}
        for g in optimizer.param_groups
    ]
    save_json({"groups": rows}, folder / "groups.json")


def trained(base: Base, name: str, seed: int, optimizer: Optimizer, **options: object) -> None:
    model = make(base, seed, **options)
    folder = folder_of(name)
    save_adapter(model, folder)
    model = model.double().train()
    if optimizer is loraplus:
        groups(model, optimizer(model), folder)
    save(train(base, model, STEPS, optimizer, keep=(1, STEPS)), folder / "expected.safetensors")


if __name__ == "__main__":
    gpt2 = {"target_modules": ["attn.c_attn"], "fan_in_fan_out": True, "r": 2, "lora_alpha": 4}
    trained(GPT2, "train-lora-fa", 90, lora_fa, **gpt2)
    trained(GPT2, "train-loraplus", 91, loraplus, **gpt2)
    mlp = {"target_modules": ["embed", "fc1", "fc2"], "r": 2, "lora_alpha": 4, "use_dora": True}
    trained(MLP, "mlp-train-dora", 92, adamw, **mlp)
    trained(MLP, "mlp-train-loraplus", 93, loraplus, **mlp, modules_to_save=["norm", "head"])
    trained(MLP, "mlp-train-bias", 94, loraplus, target_modules=["fc1"], r=2, lora_alpha=4, bias="all")
