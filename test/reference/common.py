"""What every reference script needs: one thread, fixed hash order, no network, fixed paths."""

import os
import sys

# list(set) decides the order of target_modules in adapter_config.json, so hashing has to be fixed before Python starts.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, *sys.argv])
os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TQDM_DISABLE="1")

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def fresh(name: str) -> Path:
    """An empty folder under test/golden/."""
    path = GOLDEN / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def readable(path: Path) -> None:
    """safetensors writes files that only their owner can read."""
    path.chmod(0o644)


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write one safetensors file. One metadata key at most: the library does not fix the order of several."""
    owned = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
    save_file(owned, path, metadata={"torch": torch.__version__.split("+")[0]})
    readable(path)


def save_json(value: dict[str, object], path: Path) -> None:
    """One line for each key, and one for each element of a list of objects."""

    def line(v: object) -> str:
        if isinstance(v, list) and v and isinstance(v[0], dict):
            return "[\n" + ",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in v) + "\n ]"
        return json.dumps(v, ensure_ascii=False)

    path.write_text("{\n" + ",\n".join(f" {json.dumps(k)}: {line(v)}" for k, v in value.items()) + "\n}\n")


def token_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Next-token cross-entropy in the logits' own dtype (transformers casts to float32 first).

    logits [B, T, V], labels [B, T] not shifted: position t is scored against labels[:, t + 1]; -100 is ignored.
    """
    predicted = logits[:, :-1].reshape(-1, logits.shape[-1])  # [B * (T - 1), V]
    return torch.nn.functional.cross_entropy(predicted, labels[:, 1:].reshape(-1), ignore_index=-100)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """The one fixed batch: ids [2, 9] below 17, labels with four positions ignored."""
    ids = torch.randint(0, 17, (2, 9), generator=generator(1))
    labels = ids.clone()
    labels[0, 0] = -100  # never scored anyway: nothing comes before it
    labels[0, 4] = -100
    labels[1, 7:] = -100
    return ids, labels


def load_base(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """test/golden/gpt2, in evaluation mode; run gpt2.py first."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "gpt2", dtype=torch.float32, attn_implementation="eager")
    model.name_or_path = "../gpt2"  # what PEFT writes as base_model_name_or_path; no absolute path in a golden file
    return model.to(dtype).eval()
