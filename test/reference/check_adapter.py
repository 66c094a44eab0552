"""Does PEFT load this adapter to the logits that its writer computed?

check_adapter.py BASE_MODEL_DIR ADAPTER_DIR EXPECTED.safetensors [--tolerance 1e-4] [--merged]
BASE_MODEL_DIR holds a transformers model, or test/golden/mlp (no config.json). EXPECTED holds `ids` (integers [B, T])
and `logits` ([B, T, V]), and perhaps `logits_merged`. Computes in float64 from the stored weights, as is and after
merge_and_unload; a tied head is untied for the merge, since PEFT merges in place. --merged compares only after the
merge. Exit code 0 if the largest absolute difference is within the tolerance both times and PEFT used every tensor of
the file, found all that it wants, and gave no warning.
"""

import argparse
import sys
import warnings
from pathlib import Path

from common import torch

from adapters import untied
from check_model import differs, load, verdict
from mlp import load_mlp

from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file


def load_base(folder: Path) -> tuple[torch.nn.Module, list[str]]:
    """The base in float32, which PiSSA and OLoRA ask for, and what there is to complain of."""
    return load(folder) if (folder / "config.json").is_file() else (load_mlp(folder=folder), [])


def harmless(message: str) -> bool:
    """What PEFT says of tied weights (the merge is of an untied model), and where it corrects fan_in_fan_out itself."""
    return any(words in message for words in ("tie_word_embeddings", "no longer tied", "fan_in_fan_out is set to"))


def load_adapter(base: torch.nn.Module, folder: Path, complaints: list[str]) -> PeftModel:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("always", RuntimeWarning)
        model = PeftModel.from_pretrained(base, folder)
    about = [w for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))]
    complaints += [f"warning: {w.message}" for w in about if not harmless(str(w.message))]

    # PEFT ignores tensors that it does not know without a word: ask for each whether it arrived
    stored = load_file(folder / "adapter_model.safetensors")
    embeddings = any(k.endswith("base_layer.weight") for k in stored)
    held = get_peft_model_state_dict(model, save_embedding_layers=embeddings)
    for key in sorted(stored.keys() | held.keys()):
        if key not in held:
            complaints.append(f"PEFT ignored {key}")
        elif key not in stored and ".modules_to_save." not in key and ".original_module." not in key:
            # (those two PEFT writes of a trained module's bias, too, and does not need)
            complaints.append(f"the file lacks {key}")
        elif key in stored and not torch.equal(stored[key].to(held[key].dtype), held[key]):
            complaints.append(f"PEFT holds other values for {key}")
    return model.double().eval()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "adapter", "expected"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--merged", action="store_true", help="compare only after merge_and_unload")
    options = parser.parse_args()

    expected = load_file(options.expected)
    base, complaints = load_base(options.base)
    model = load_adapter(base, options.adapter, complaints)
    print(f"tensors: {len(load_file(options.adapter / 'adapter_model.safetensors'))}")
    if not options.merged:
        differs(model, expected["ids"], expected["logits"], options.tolerance, complaints)

    base, _ = load_base(options.base)
    if getattr(getattr(base, "config", None), "tie_word_embeddings", False):
        base = untied(base)
    merged = load_adapter(base, options.adapter, []).merge_and_unload()
    logits = expected.get("logits_merged", expected["logits"])
    differs(merged, expected["ids"], logits, options.tolerance, complaints, "merged: ")
    return verdict(complaints)


if __name__ == "__main__":
    sys.exit(main())
