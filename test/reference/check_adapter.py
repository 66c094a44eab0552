"""Does PEFT load this adapter to the logits that its writer computed?

check_adapter.py BASE_MODEL_DIR ADAPTER_DIR EXPECTED.safetensors [--tolerance 1e-4] [--merged]
EXPECTED holds `ids` (integers [B, T]) and `logits` ([B, T, V]). Computes in float64 from the stored weights. Exit code
0 if the largest absolute difference is within the tolerance and PEFT used every tensor of the file without a warning.
"""

import argparse
import sys
import warnings
from pathlib import Path

from common import torch

from check_model import compare, load

from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "adapter", "expected"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--merged", action="store_true", help="compare after merge_and_unload")
    options = parser.parse_args()

    base, complaints = load(options.base)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = PeftModel.from_pretrained(base, options.adapter)
    complaints += [f"warning: {w.message}" for w in caught if issubclass(w.category, UserWarning)]

    # PEFT ignores tensors that it does not know without a word: ask for each whether it arrived
    stored = load_file(options.adapter / "adapter_model.safetensors")
    held = get_peft_model_state_dict(model, save_embedding_layers=False)
    for key in sorted(stored.keys() | held.keys()):
        if key not in held:
            complaints.append(f"PEFT ignored {key}")
        elif key not in stored:
            complaints.append(f"the file lacks {key}")
        elif not torch.equal(stored[key].to(held[key].dtype), held[key]):
            complaints.append(f"PEFT holds other values for {key}")

    model = model.double().eval()
    if options.merged:
        model = model.merge_and_unload()
    print(f"tensors: {len(stored)}")
    return compare(model, load_file(options.expected), options.tolerance, complaints)


if __name__ == "__main__":
    sys.exit(main())
