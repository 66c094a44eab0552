"""The small GPT in PyTorch, from the weights and the batch in a folder; makes a step for each line of its input.

    python torch_gpt.py <folder> <threads, 0 for all>
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
if threads:
    torch.set_num_threads(threads)
task = json.loads((folder / "task.json").read_text())
size, eps = task["size"], task["layerNormEps"]
B, T, H, d = size["batch"], size["context"], size["heads"], size["width"]

data = bytearray((folder / "weights.bin").read_bytes())
at = 0
weights = {}
for entry in task["shapes"]:
    count = math.prod(entry["shape"])
    values = torch.frombuffer(data, dtype=torch.float32, count=count, offset=at)
    weights[entry["name"]] = values.clone().reshape(entry["shape"]).requires_grad_()
    at += 4 * count
ids, targets = (
    torch.frombuffer(data, dtype=torch.int32, count=B * T, offset=at + 4 * B * T * i).long().reshape(B, T)
    for i in range(2)
)
adamw = task["adamW"]
optimizer = torch.optim.AdamW(
    weights.values(), lr=adamw["lr"], betas=adamw["betas"], eps=adamw["eps"], weight_decay=adamw["weightDecay"]
)


def linear(x: torch.Tensor, path: str) -> torch.Tensor:
    bias, weight = weights[f"{path}.bias"], weights[f"{path}.weight"]  # [in, out]
    return torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], weight.shape[1])


def norm(x: torch.Tensor, path: str) -> torch.Tensor:
    return F.layer_norm(x, (d,), weights[f"{path}.weight"], weights[f"{path}.bias"], eps)


def attention(x: torch.Tensor, path: str) -> torch.Tensor:
    q, k, v = (part.reshape(B, T, H, d // H).transpose(1, 2) for part in linear(x, f"{path}.c_attn").split(d, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return linear(y.transpose(1, 2).reshape(B, T, d), f"{path}.c_proj")


def loss() -> torch.Tensor:
    x = F.embedding(ids, weights["transformer.wte.weight"]) + weights["transformer.wpe.weight"]
    for i in range(size["layers"]):
        path = f"transformer.h.{i}"
        x = x + attention(norm(x, f"{path}.ln_1"), f"{path}.attn")
        inner = F.gelu(linear(norm(x, f"{path}.ln_2"), f"{path}.mlp.c_fc"), approximate="tanh")
        x = x + linear(inner, f"{path}.mlp.c_proj")
    logits = F.linear(norm(x, "transformer.ln_f"), weights["lm_head.weight"])
    return F.cross_entropy(logits.reshape(B * T, -1), targets.reshape(-1))


print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    value = loss()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    found = value.item()
    print(json.dumps({"ms": 1000 * (time.perf_counter() - start), "loss": found}), flush=True)
