"""A tiny random GPT-2 and what transformers computes with it -> test/golden/gpt2/, test/golden/gpt2-train/.

Shapes: 2 blocks, width 12, 3 heads of 4, vocabulary 17, 16 positions; 4,188 parameters, the head tied to wte.
"""

from common import GOLDEN, batch, fresh, generator, load_base, readable, save, token_loss

import torch
from transformers import GPT2Config, GPT2LMHeadModel

PROMPT, NEW_TOKENS = [[12, 8, 12, 15]], 6


def make_model() -> None:
    config = GPT2Config(
        n_layer=2, n_embd=12, n_head=3, vocab_size=17, n_positions=16, activation_function="gelu_new",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=16, eos_token_id=16,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    random = generator(0)
    with torch.no_grad():
        for name, p in model.named_parameters():  # biases and gains random too, so that nothing is trivially right
            gain = name.split(".")[-2].startswith("ln_") and name.endswith("weight")
            p.copy_(0.3 * torch.randn(p.shape, generator=random) + (1.0 if gain else 0.0))
    folder = fresh("gpt2")
    model.save_pretrained(folder)
    readable(folder / "model.safetensors")


def forward_and_gradients(dtype: torch.dtype, suffix: str) -> dict[str, torch.Tensor]:
    model = load_base(dtype)
    ids, labels = batch()
    out = model(ids, labels=labels, output_hidden_states=True)
    loss = token_loss(out.logits, labels)
    assert abs(loss.item() - out.loss.item()) < 1e-6  # transformers' own loss, which is always float32
    loss.backward()
    result = {f"logits{suffix}": out.logits, f"loss{suffix}": loss}
    if dtype == torch.float64:  # hidden.0: embeddings; hidden.1: after block 0; hidden.2: after block 1 and ln_f
        result |= {f"hidden.{i}": h for i, h in enumerate(out.hidden_states)}
    return result | {f"grad{suffix}.{name}": p.grad for name, p in model.named_parameters()}


def greedy() -> dict[str, torch.Tensor]:
    model = load_base(torch.float64)
    prompt = torch.tensor(PROMPT)
    tokens = model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=16)
    assert tokens.shape[1] == prompt.shape[1] + NEW_TOKENS  # 16 (eos) did not come up
    top = model(tokens).logits[0, prompt.shape[1] - 1 : -1].topk(2).values  # [6, 2]
    margin = top[:, 0] - top[:, 1]
    assert margin.min() > 0.05  # no near tie: float32 must find the same tokens
    return {"greedy.prompt": prompt, "greedy.tokens": tokens, "greedy.margin": margin}


def train(steps: int = 5) -> dict[str, torch.Tensor]:
    """AdamW on all parameters in one group (biases and gains decay too), gradients clipped to a global norm of 1."""
    model = load_base(torch.float64)
    ids, labels = batch()
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses, norms, result = [], [], {"ids": ids, "labels": labels}
    for step in range(1, steps + 1):
        adamw.zero_grad()
        loss = token_loss(model(ids).logits, labels)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))  # the norm before clipping
        losses.append(loss.detach())
        adamw.step()
        if step in (1, steps):
            result |= {f"after{step}.{name}": p.detach().clone() for name, p in model.named_parameters()}
    return result | {"losses": torch.stack(losses), "norms": torch.stack(norms)}


if __name__ == "__main__":
    make_model()
    ids, labels = batch()
    expected = {"ids": ids, "labels": labels}
    expected |= forward_and_gradients(torch.float64, "") | forward_and_gradients(torch.float32, "_f32") | greedy()
    save(expected, GOLDEN / "gpt2" / "expected.safetensors")
    save(train(), fresh("gpt2-train") / "expected.safetensors")
