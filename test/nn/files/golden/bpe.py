"""Makes bpe.json: what Hugging Face's own trainer and tokenizer do with a small text.

pip install tokenizers==0.23.3 && python3 test/nn/files/golden/bpe.py
"""

import json
import pathlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

texts = [
    "The quick brown fox jumps over the lazy dog. The dog didn't mind; it's used to foxes, isn't it?\n\n",
    "aaaa aaa aaaaa bbb abab ababab   spaces   and\ttabs  \r\n 12345 67 1 000 000 ---- ....... !!!\n",
    "Größe, naïve, café, 日本語のテキスト, русский текст, 😀👩‍👩‍👧 mixed; \u00a0nbsp, e\u0301 combining.",
    "of the and to the in the that the of and a in to it is was for on are as with his they at be this",
]
SAMPLE = "It isn't the café's naïve fox, is it?  aaaaaaa\n\t12345 日本 😀 <|endoftext|>The end."

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=420,
    special_tokens=["<|endoftext|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
tokenizer.train_from_iterator(texts, trainer)
model = json.loads(tokenizer.to_str())["model"]
golden = {
    "texts": texts,
    "merges": [" ".join(pair) for pair in model["merges"]],
    "sample": SAMPLE,
    "tokens": tokenizer.encode(SAMPLE).tokens,
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
