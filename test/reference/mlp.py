"""A tiny random model of plain torch layers with an untied head -> test/golden/mlp/.

embed(11, 6) -> fc1(6, 10) -> tanh -> fc2(10, 6), no bias -> norm(6) -> head(6, 11); 285 parameters, nothing is tied.
"""

from common import GOLDEN, batch, fresh, generator, save, token_loss

from pathlib import Path

import torch
from safetensors.torch import load_file

VOCABULARY, WIDTH, HIDDEN = 11, 6, 10


class Mlp(torch.nn.Module):
    """ids [B, T] -> logits [B, T, 11]; a position sees its own token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.fc1 = torch.nn.Linear(WIDTH, HIDDEN)
        self.fc2 = torch.nn.Linear(HIDDEN, WIDTH, bias=False)
        self.norm = torch.nn.LayerNorm(WIDTH)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.fc2(torch.tanh(self.fc1(self.embed(ids))))))


def load_mlp(dtype: torch.dtype = torch.float32, folder: Path = GOLDEN / "mlp") -> Mlp:
    """test/golden/mlp, in evaluation mode; run this file first."""
    model = Mlp()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.name_or_path = "../mlp"  # what PEFT writes as base_model_name_or_path
    return model.to(dtype).eval()


def mlp_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of the GPT-2, its ids folded into the smaller vocabulary."""
    ids, labels = batch()
    return ids % VOCABULARY, torch.where(labels < 0, labels, labels % VOCABULARY)


def make_model() -> None:
    model, random = Mlp(), generator(20)
    with torch.no_grad():
        for name, p in model.named_parameters():  # biases and gains random too, so that nothing is trivially right
            p.copy_(0.4 * torch.randn(p.shape, generator=random) + (1.0 if name == "norm.weight" else 0.0))
    save(model.state_dict(), fresh("mlp") / "model.safetensors")


def expect() -> dict[str, torch.Tensor]:
    model = load_mlp(torch.float64)
    ids, labels = mlp_batch()
    logits = model(ids)
    loss = token_loss(logits, labels)
    loss.backward()
    gradients = {f"grad.{name}": p.grad for name, p in model.named_parameters()}
    return {"ids": ids, "labels": labels, "logits": logits, "loss": loss} | gradients


if __name__ == "__main__":
    make_model()
    save(expect(), GOLDEN / "mlp" / "expected.safetensors")
