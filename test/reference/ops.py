"""PyTorch's values and gradients of single ops, in float64 -> test/golden/ops.safetensors, test/golden/ops.json.

Each case names its tensors in ops.json: `inputs`, `output`, `cotangent` (g, the gradient that flows into the output)
and `grads` (the gradients of sum(g * output), one for each input, null where there is none).
"""

from collections.abc import Callable

from common import GOLDEN, generator, save, save_json

import torch
import torch.nn.functional as F

Tensor = torch.Tensor
INF = float("inf")
random = generator(7)
tensors: dict[str, Tensor] = {}
cases: list[dict[str, object]] = []


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64)


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def case(name: str, op: str, fn: Callable[..., Tensor], inputs: dict[str, Tensor], note: str = "", **attrs: object) -> None:
    """Run fn(*inputs), differentiate it, record both. Floating inputs get a gradient, others (ids, masks) none."""
    leaves = {k: t.clone().requires_grad_(t.is_floating_point()) for k, t in inputs.items()}
    y = fn(*leaves.values())
    g = normal(*y.shape)
    (g * y).sum().backward()
    stored = {k: f"{name}.{k}" for k in inputs}
    grads = {k: f"{name}.d{k}" if t.requires_grad else None for k, t in leaves.items()}
    entry = {"name": name, "op": op, "attrs": attrs, "inputs": stored, "output": f"{name}.y"}
    cases.append(entry | {"cotangent": f"{name}.g", "grads": grads} | ({"note": note} if note else {}))
    tensors.update({f"{name}.y": y, f"{name}.g": g})
    for k, t in leaves.items():
        assert 0 < t.numel() <= 60
        tensors[stored[k]] = t.to(torch.uint8) if t.dtype == torch.bool else t
        if t.requires_grad:
            assert t.grad is not None and t.grad.isfinite().all(), name
            tensors[grads[k]] = t.grad


def elementwise() -> None:
    wide = values(-800, -40, -10, -5.5, -1, -1e-3, -1e-12, 0, 1e-12, 1e-3, 1, 5.5, 10, 40, 800)
    unary = {
        "gelu_tanh": ("gelu", lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
        "gelu_erf": ("gelu", F.gelu, {"approximate": "none"}),
        "silu": ("silu", F.silu, {}),
        "sigmoid": ("sigmoid", torch.sigmoid, {}),
        "tanh": ("tanh", torch.tanh, {}),
        "erf": ("erf", torch.erf, {}),
        "relu": ("relu", torch.relu, {}),
        "abs": ("abs", torch.abs, {}),
    }
    for name, (op, fn, attrs) in unary.items():
        note = "the gradient at 0 is 0" if op in ("relu", "abs") else ""
        case(name, op, fn, {"x": 2 * normal(3, 7)}, **attrs)
        case(f"{name}_wide", op, fn, {"x": wide}, note, **attrs)
    case("exp", "exp", torch.exp, {"x": normal(3, 7)})
    for name, fn in {"log": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "log1p": torch.log1p}.items():
        case(name, name, fn, {"x": normal(3, 7).exp()})
    case("expm1", "expm1", torch.expm1, {"x": values(-40, -1, -1e-9, 0, 1e-9, 1, 5)})

    tied = {"a": values(1, 2, 3, -4, 0, 5), "b": values(1, 3, 2, -4, 0, 5)}
    half = "where a = b each side gets half of g"
    for op, fn in {"maximum": torch.maximum, "minimum": torch.minimum}.items():
        case(f"{op}_ties", op, fn, tied, half)
        case(f"{op}_broadcast", op, fn, {"a": normal(3, 1, 5), "b": normal(4, 1)})
    condition = torch.rand(3, 5, generator=random) < 0.5
    case("where", "where", torch.where, {"condition": condition, "a": normal(3, 5), "b": normal(5)}, "condition: U8")
    case("pow_tensor", "pow", torch.pow, {"a": normal(3, 5).exp(), "b": normal(5)}, "positive base, tensor exponent")
    signed = values(-2.5, -1, -0.5, 0, 0.5, 1, 2.5)
    for exponent in (2.0, 3.0, 1.0, 0.0):
        case(f"pow_{exponent:g}", "pow", lambda x, e=exponent: x**e, {"x": signed}, exponent=exponent)
    for exponent in (0.5, -1.5, -2.0):
        case(f"pow_{exponent:g}", "pow", lambda x, e=exponent: x**e, {"x": signed.abs() + 0.25}, exponent=exponent)
    for op, fn in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
        case(f"{op}_broadcast", op, fn, {"a": normal(2, 3, 1), "b": normal(3, 5).exp()})


def reductions() -> None:
    extreme = torch.stack([values(1000, 999, -1000, 1000), values(-1e4, -1e4, -1e4, -1e4), values(0, -INF, 2, -INF)])
    for op, fn in {"softmax": torch.softmax, "log_softmax": torch.log_softmax, "logsumexp": torch.logsumexp}.items():
        for axis in (-1, 1):
            case(f"{op}_axis{axis}", op, lambda x, f=fn, d=axis: f(x, d), {"x": normal(2, 5, 3)}, axis=axis)
    for op, fn in {"softmax": torch.softmax, "logsumexp": torch.logsumexp}.items():
        case(f"{op}_extreme", op, lambda x, f=fn: f(x, -1), {"x": extreme}, "values of 1000 and of -inf", axis=-1)
    case("log_softmax_extreme", "log_softmax", lambda x: torch.log_softmax(x, -1), {"x": extreme[:2]}, axis=-1)
    for correction in (0, 1):
        for axis in (0, 1):
            fn = lambda x, c=correction, d=axis: torch.var(x, d, correction=c)  # noqa: E731
            case(f"var{correction}_axis{axis}", "var", fn, {"x": normal(4, 5)}, axis=axis, correction=correction)
    case("mean", "mean", lambda x: x.mean(1), {"x": normal(2, 5, 3)}, axis=1)
    case("sum", "sum", lambda x: x.sum((0, 2), keepdim=True), {"x": normal(2, 5, 3)}, axis=[0, 2], keepdims=True)
    tie = torch.stack([values(1, 3, 3, 2), values(5, 5, 5, 5), values(-1, -2, -3, -1)])
    case("max_ties", "max", lambda x: torch.amax(x, 1), {"x": tie}, "amax: g is split evenly among equal maxima", axis=1)


def norms() -> None:
    x, gain, bias = 3 + 2 * normal(2, 3, 6), normal(6), normal(6)
    affine = {"x": x, "weight": gain, "bias": bias}
    for eps in (1e-5, 1e-12):
        case(f"layer_norm_{eps:g}", "layer_norm", lambda x, w, b, e=eps: F.layer_norm(x, (6,), w, b, e), affine, eps=eps)
        case(f"rms_norm_{eps:g}", "rms_norm", lambda x, w, e=eps: F.rms_norm(x, (6,), w, e), {"x": x, "weight": gain}, eps=eps)
    case("layer_norm_plain", "layer_norm", lambda x: F.layer_norm(x, (6,), eps=1e-5), {"x": x}, eps=1e-5)
    constant = torch.full((2, 4), 2.5, dtype=torch.float64)
    case("layer_norm_constant", "layer_norm", lambda x: F.layer_norm(x, (4,), eps=1e-5), {"x": constant}, "variance 0", eps=1e-5)


def losses() -> None:
    logits, targets = 2 * normal(6, 5), torch.tensor([0, 4, -100, 2, 2, -100])
    for reduction in ("mean", "sum"):
        fn = lambda x, t, r=reduction: F.cross_entropy(x, t, ignore_index=-100, reduction=r)  # noqa: E731
        case(f"cross_entropy_{reduction}", "cross_entropy", fn, {"logits": logits, "targets": targets}, ignore_index=-100, reduction=reduction)
    fn = lambda x, t: F.cross_entropy(x, t, ignore_index=-100, label_smoothing=0.1)  # noqa: E731
    case("cross_entropy_smooth", "cross_entropy", fn, {"logits": logits, "targets": targets}, ignore_index=-100, reduction="mean", label_smoothing=0.1)
    far = torch.stack([values(1000, -1000, 0), values(-1e4, 0, 1e4)])
    case("cross_entropy_extreme", "cross_entropy", lambda x, t: F.cross_entropy(x, t), {"logits": far, "targets": torch.tensor([1, 2])}, ignore_index=-100, reduction="mean")


def attention() -> None:
    sdpa = F.scaled_dot_product_attention
    q, k, v = normal(1, 2, 4, 3), normal(1, 2, 4, 3), normal(1, 2, 4, 5)  # [B, H, T, D], values of another width
    qkv = {"q": q, "k": k, "v": v}
    case("attention", "attention", sdpa, qkv, causal=False)
    case("attention_causal", "attention", lambda q, k, v: sdpa(q, k, v, is_causal=True), qkv, causal=True)
    case("attention_scale", "attention", lambda q, k, v: sdpa(q, k, v, is_causal=True, scale=0.7), qkv, causal=True, scale=0.7)
    mask = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
    case("attention_mask", "attention", lambda q, k, v, m: sdpa(q, k, v, attn_mask=m), qkv | {"mask": mask}, "mask: U8, 1 = may look", causal=False)
    case("attention_bias", "attention", lambda q, k, v, b: sdpa(q, k, v, attn_mask=b), qkv | {"bias": normal(2, 4, 4)}, "bias is added to the scaled scores", causal=False)
    bottom_right = torch.ones(2, 4, dtype=torch.bool).tril(2)  # 2 queries are the last 2 of 4 positions
    case("attention_cache", "attention", lambda q, k, v: sdpa(q, k, v, attn_mask=bottom_right), qkv | {"q": q[:, :, :2]}, "causal, aligned bottom-right", causal=True)

    def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # query head h reads key and value head h // 2
        return sdpa(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), is_causal=True)

    case("attention_gqa", "attention", grouped, {"q": normal(1, 4, 4, 3), "k": normal(1, 2, 4, 3), "v": normal(1, 2, 4, 3)}, "4 query heads, 2 key heads", causal=True)


def tables_and_products() -> None:
    ids = torch.tensor([[3, 0, 3], [6, 3, 0]])
    case("embedding", "embedding", lambda w, i: F.embedding(i, w), {"weight": normal(7, 4), "ids": ids}, "ids repeat")
    case("matmul", "matmul", torch.matmul, {"a": normal(3, 4), "b": normal(4, 5)})
    case("matmul_batch", "matmul", torch.matmul, {"a": normal(2, 1, 3, 4), "b": normal(2, 4, 2)}, "a's batch is broadcast")
    case("linear", "linear", F.linear, {"x": normal(2, 3, 4), "weight": normal(5, 4), "bias": normal(5)}, "weight: [out, in]")


if __name__ == "__main__":
    for group in (elementwise, reductions, norms, losses, attention, tables_and_products):
        group()
    assert len({c["name"] for c in cases}) == len(cases)
    save(tensors, GOLDEN / "ops.safetensors")
    save_json({"torch": torch.__version__.split("+")[0], "cases": cases}, GOLDEN / "ops.json")
