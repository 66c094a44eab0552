"""One adapter of each kind that PEFT makes, on both bases -> test/golden/peft-*/ and peft-mlp-*/.

Each folder is what PeftModel.save_pretrained writes, less its README.md, plus expected.safetensors. All that trains is
moved away from its start, so that no factor is zero. How to start (init_lora_weights) is peft_starts.py's part.
"""

from common import save

from adapters import GPT2, MLP, Base, expect, folder_of, make, save_adapter, stir


def variant(
    base: Base, name: str, seed: int, embeddings: bool | str = False, untie: bool = False, **options: object
) -> None:
    model = make(base, seed, **options)
    stir(model)
    folder = folder_of(name)
    save_adapter(model, folder, embeddings)
    save(expect(base, folder, untie), folder / "expected.safetensors")


def gpt2(name: str, seed: int, **options: object) -> None:
    variant(GPT2, name, seed, **{"fan_in_fan_out": True, "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 5} | options)


def mlp(name: str, seed: int, **options: object) -> None:
    variant(MLP, f"mlp-{name}", seed, **{"r": 2, "lora_alpha": 5} | options)


def on_gpt2() -> None:
    linears = ["c_attn", "c_proj", "c_fc"]
    gpt2("dora-targets", 30, target_modules=linears, layers_to_transform=[1], use_dora=True, r=3)
    gpt2("dora-rslora", 31, target_modules=["h.0.attn.c_attn"], use_dora=True, use_rslora=True)
    # the first match counts, so block 1's c_proj has rank 3 (in the file patterns stand in order of the alphabet)
    ranks = {"c_proj": 3, r"h\.1\.attn\.c_(attn|proj)": 4}
    patterns = {"rank_pattern": ranks, "alpha_pattern": {"^transformer.h.0.*": 7}}
    gpt2("patterns", 32, target_modules=["c_attn", "attn.c_proj"], **patterns)
    gpt2("patterns-rslora", 33, target_modules=["c_attn", "attn.c_proj"], use_rslora=True, **patterns)
    # the full name is matched in any layer, the suffix in layer 1 alone
    layers = {"layers_to_transform": [1], "layers_pattern": "h"}
    gpt2("layers", 34, target_modules=["c_attn", "transformer.h.0.attn.c_proj"], **layers)
    gpt2("exclude", 35, target_modules=["c_attn", "c_proj"], exclude_modules=["mlp.c_proj", "h.0.attn.c_attn"])
    gpt2("all-linear-but", 36, target_modules="all-linear", exclude_modules=r".*\.h\.0\..*|.*\.mlp\..*")
    gpt2("regex", 37, target_modules=r".*\.h\.1\.attn\.c_(attn|proj)")
    ends = {"fan_in_fan_out": False, "untie": True}
    gpt2("wte", 38, target_modules=["wte"], **ends)
    gpt2("lm-head", 39, target_modules=["lm_head"], embeddings="auto", **ends)  # writes the head's own weight, too
    gpt2("save-ln-f", 40, target_modules=["h.0.attn.c_attn"], modules_to_save=["ln_f"])
    gpt2("save-lm-head", 41, target_modules=["h.0.attn.c_attn"], modules_to_save=["lm_head"])
    gpt2("bias-all", 42, target_modules=["h.0.attn.c_attn"], bias="all")
    gpt2("bias-lora-only", 43, target_modules=["attn.c_proj"], bias="lora_only")
    gpt2("dropout", 44, target_modules=["attn.c_proj"], lora_dropout=0.25)


def on_mlp() -> None:
    mlp("linear", 50, target_modules=["fc1", "fc2"], r=3)
    mlp("rslora", 51, target_modules=["fc1", "fc2"], r=3, use_rslora=True)
    mlp("dora", 52, target_modules=["fc1", "fc2"], r=3, use_dora=True)
    mlp("embed", 53, target_modules=["embed"])
    mlp("embed-rslora", 54, target_modules=["embed"], use_rslora=True)
    mlp("embed-dora", 55, target_modules=["embed"], use_dora=True)
    mlp("head", 56, target_modules=["head"])
    mlp("all-linear", 57, target_modules="all-linear")  # here with the head: PEFT knows no output layer of plain torch
    mlp("save-head", 58, target_modules=["fc1"], modules_to_save=["head"])
    mlp("save-embed-norm", 59, target_modules=["fc2"], modules_to_save=["embed", "norm"])
    mlp("bias-all", 60, target_modules=["fc1", "fc2"], bias="all")
    mlp("bias-lora-only", 61, target_modules=["fc1", "fc2"], bias="lora_only")
    mlp("bias-all-save-head", 62, target_modules=["fc1"], bias="all", modules_to_save=["head"])  # names the bias thrice
    mlp("lora-bias", 63, target_modules=["fc1", "head"], lora_bias=True)
    mlp(
        "together", 64, target_modules=["embed", "fc1", "fc2"], use_dora=True, use_rslora=True, lora_dropout=0.1,
        rank_pattern={"fc1": 4, "embed": 3}, alpha_pattern={"fc2": 3}, modules_to_save=["norm", "head"],
    )  # fmt: skip


if __name__ == "__main__":
    on_gpt2()
    on_mlp()
