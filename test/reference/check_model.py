"""Does transformers load this model to the logits that its writer computed?

check_model.py MODEL_DIR EXPECTED.safetensors [--tolerance 1e-4]
EXPECTED holds `ids` (integers [B, T]) and `logits` ([B, T, V]). If its metadata holds `text`, AutoTokenizer must turn
that text into the tensor `text_ids` ([N]) and back. Computes in float64 from the stored weights. Exit code 0 if the
largest absolute difference is within the tolerance, no weight is missing or left over and the tokens agree.
"""

import argparse
import sys
from pathlib import Path

from common import torch

from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder: Path) -> tuple[torch.nn.Module, list[str]]:
    """The model in float32, and what transformers has to complain of."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, local_files_only=True
    )
    return model.eval(), [f"{kind}: {keys}" for kind, keys in info.items() if keys]


def differs(
    model: torch.nn.Module,
    ids: torch.Tensor,
    logits: torch.Tensor,
    tolerance: float,
    complaints: list[str],
    title: str = "",
) -> None:
    """Print the largest difference of the model's logits; complain if it is too large."""
    with torch.no_grad():
        out = model(ids.long())
    found = out if isinstance(out, torch.Tensor) else out.logits
    if found.shape != logits.shape:
        complaints.append(f"{title}logits are {list(found.shape)}, expected {list(logits.shape)}")
        return
    difference = (found - logits.double()).abs().max().item()
    print(f"{title}max |difference|: {difference:.3e}  (tolerance {tolerance:g}, max |logit| {found.abs().max():.3g})")
    if not difference <= tolerance:  # NaN fails too
        complaints.append(f"{title}the logits differ")


def verdict(complaints: list[str]) -> int:
    """Print the verdict; the exit code."""
    for complaint in complaints:
        print(f"FAIL: {complaint}")
    if not complaints:
        print("OK")
    return 1 if complaints else 0


def check_tokenizer(folder: Path, expected: Path, text_ids: torch.Tensor | None, complaints: list[str]) -> None:
    with safe_open(expected, "pt") as file:
        text = (file.metadata() or {}).get("text")
    if text is None:
        return
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    if text_ids is None or ids != text_ids.tolist():
        complaints.append(f"the tokenizer gives {ids}, expected {text_ids}")
    if tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text:
        complaints.append(f"the tokenizer decodes to {tokenizer.decode(ids)!r}, expected {text!r}")
    print(f"tokenizer: {type(tokenizer).__name__}, {len(ids)} tokens")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "expected"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()

    model, complaints = load(options.model)
    tensors = load_file(options.expected)
    check_tokenizer(options.model, options.expected, tensors.get("text_ids"), complaints)
    differs(model.double(), tensors["ids"], tensors["logits"], options.tolerance, complaints)
    return verdict(complaints)


if __name__ == "__main__":
    sys.exit(main())
