"""What the scripts that make adapters share: the two bases, and what PEFT computes with an adapter."""

from common import batch, fresh, load_base, readable, token_loss

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from by_hand import merged_by_hand
from mlp import load_mlp, mlp_batch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

Tensors = dict[str, torch.Tensor]


def logits_of(model: torch.nn.Module, ids: torch.Tensor, **options: object) -> torch.Tensor:
    """Logits [B, T, V] of either base."""
    out = model(ids, **options)
    return out if isinstance(out, torch.Tensor) else out.logits


@dataclass(frozen=True)
class Base:
    """A base model of test/golden/ and its batch: ids and labels [B, T]."""

    load: Callable[[], torch.nn.Module]
    batch: Callable[[], tuple[torch.Tensor, torch.Tensor]]


GPT2 = Base(load_base, batch)
MLP = Base(load_mlp, mlp_batch)


def untied(model: torch.nn.Module) -> torch.nn.Module:
    """The GPT-2 with a head of its own: PEFT merges into a tied weight in place, which would change both its ends."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    return model


def adapter_tensors(model: PeftModel, name: str = "default") -> Tensors:
    """Adapter tensors under the names they have in adapter_model.safetensors."""
    held = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    return {k: v.detach().clone() for k, v in held.items()}


def file_names(model: PeftModel) -> dict[str, str]:
    """What each adapter tensor of adapter_model.safetensors is called in the model."""
    names = {n: n for n in model.state_dict()}  # PEFT names them as if they were the values
    return get_peft_model_state_dict(model, state_dict=names, save_embedding_layers=False)


def adapter_gradients(model: PeftModel) -> Tensors:
    """Gradients of what trains, under the names of the file."""
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return {k: gradients[n].clone() for k, n in file_names(model).items() if n in gradients}


def make(base: Base, seed: int, **options: object) -> PeftModel:
    torch.manual_seed(seed)
    return get_peft_model(base.load(), LoraConfig(**options)).eval()


def stir(model: PeftModel, by: float = 0.3) -> None:
    """Move everything that trains, so that nothing is zero or at its start; make() has seeded the generator."""
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(by * torch.randn(p.shape))


def save_adapter(model: PeftModel, folder: Path, embeddings: bool | str = False, **options: object) -> None:
    model.save_pretrained(folder, save_embedding_layers=embeddings, **options)
    (folder / "README.md").unlink()
    for file in folder.rglob("adapter_model.safetensors"):
        readable(file)


def load_adapter(base: Base, folder: Path, model: torch.nn.Module | None = None) -> PeftModel:
    """The adapter as PEFT loads it from the folder: what is stored is what is expected."""
    again = PeftModel.from_pretrained(model or base.load(), folder, is_trainable=True).eval()
    held, stored = adapter_tensors(again), load_file(folder / "adapter_model.safetensors")
    assert all(torch.equal(v, stored[k]) for k, v in held.items())
    return again


def forward_and_gradients(base: Base, model: PeftModel) -> Tensors:
    """ids, labels, logits, loss and the gradient of each tensor that trains; the model is in float64."""
    ids, labels = base.batch()
    logits = logits_of(model, ids)
    loss = token_loss(logits, labels)
    loss.backward()
    gradients = {f"grad.{k}": g for k, g in adapter_gradients(model).items()}
    return {"ids": ids, "labels": labels, "logits": logits, "loss": loss} | gradients


def merged_weights(base: Base, model: PeftModel) -> Tensors:
    """Logits after the merge, and each parameter that it changed; the model is in float64."""
    before = dict(base.load().double().named_parameters(remove_duplicate=False))
    merged = model.merge_and_unload()
    changed = {n: p for n, p in merged.named_parameters() if not torch.equal(p, before[n])}
    return {"logits_merged": logits_of(merged, base.batch()[0])} | {f"merged.{n}": p for n, p in changed.items()}


def plain_weights(model: PeftModel) -> tuple[Tensors, set[str]]:
    """The base's weights in a model with an adapter, under the base's names, and which of them are of a Conv1D."""
    inside = {n: m for n, m in model.base_model.model.named_modules() if ".lora_" not in n and n}
    at = {n.removesuffix(".base_layer"): m for n, m in inside.items()}
    weights = {f"{n}.{k}": p.detach().clone() for n, m in at.items() for k, p in m.named_parameters(recurse=False)}
    return weights, {f"{n}.weight" for n, m in at.items() if isinstance(m, Conv1D)}


def expect(base: Base, folder: Path, untie: bool = False) -> Tensors:
    """All that is expected of an adapter that is saved in a folder, in float64 from the stored weights."""
    result = forward_and_gradients(base, load_adapter(base, folder).double())
    model = load_adapter(base, folder, untied(base.load()) if untie else None).double()
    weights, conv1d = plain_weights(model)
    result |= merged_weights(base, model)
    assert (result["logits_merged"] - result["logits"]).abs().max() < 1e-12
    for name in (n.removeprefix("merged.") for n in result if n.startswith("merged.")):
        by_hand = merged_by_hand(folder, name, weights.get(name), name in conv1d)
        assert (by_hand - result[f"merged.{name}"]).abs().max() < 1e-14, name
    return result


def train(
    base: Base,
    model: PeftModel,
    steps: int,
    optimizer: Callable[[PeftModel], torch.optim.Optimizer],
    keep: tuple[int, ...],
) -> Tensors:
    """Losses, the first gradients, and what trains after the steps to keep; the model is in float64."""
    ids, labels = base.batch()
    adam = optimizer(model)
    losses, result = [], {"ids": ids, "labels": labels}
    for step in range(1, steps + 1):
        adam.zero_grad()
        loss = token_loss(logits_of(model, ids), labels)
        loss.backward()
        losses.append(loss.detach())
        if step == 1:
            result |= {f"grad.{k}": g for k, g in adapter_gradients(model).items()}
        adam.step()
        if step in keep:
            result |= {f"after{step}.{k}": v for k, v in adapter_tensors(model).items()}
    return result | {"losses": torch.stack(losses)}


def adamw(model: PeftModel, lr: float = 1e-2) -> torch.optim.Optimizer:
    """AdamW on all that trains, in one group."""
    params = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)


def folder_of(name: str) -> Path:
    return fresh(f"peft-{name}")
