"""Makes real, small checkpoints for tests: transformers' own model with random weights, in its own files.

No hub and no fixtures on disk are needed, and what is read back is the true format of the family.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

STARCODER_SENTINELS = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>")

CORPUS = (
    "def add(first, second):\n    return first + second\n\n\n",
    "class Stack:\n    def __init__(self) -> None:\n        self.items: list[int] = []\n\n",
    "for index, value in enumerate(values):\n    if value is None:\n        continue\n    print(index)\n",
    "# naïve café — 東京 🎉\nname = 'José'\n",
)

GPT: dict[str, Any] = {"n_embd": 32, "n_head": 2, "n_layer": 2, "n_positions": 256}
LLAMA: dict[str, Any] = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 48, "max_position_embeddings": 256,
}  # fmt: skip

TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_bigcode": ("GPTBigCode", GPT),
    "gptj": ("GPTJ", {**GPT, "rotary_dim": 8}),
    "codegen": ("CodeGen", {**GPT, "n_head": 4, "rotary_dim": 4}),
    "llama": ("Llama", LLAMA),
    "qwen2": ("Qwen2", LLAMA),
    "starcoder2": ("Starcoder2", LLAMA),
}
"""By family: how transformers' classes begin, and the sizes of a small model."""


def train_tokenizer(sentinels: tuple[str, ...] = STARCODER_SENTINELS, vocab_size: int = 384) -> Tokenizer:
    """A byte-level BPE tokenizer like StarCoder's, only smaller: every byte and a few merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(sentinels),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def make_model(
    seed: int = 0, mute: Iterable[int] = range(5), *, family: str = "gpt_bigcode", **config: Any
) -> Any:
    """A random model of a family in fp32; `config` is what differs from `TINY`.

    The weights are drawn wider than a training run would start with, so that every part of the block
    changes the logits and greedy decoding does not merely repeat the last token. The tokens in `mute` have
    logits of 0, so that greedy decoding never takes them: by default the sentinels of `train_tokenizer`.
    """
    import torch
    import transformers

    name, sizes = TINY[family]
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    facts = {"vocab_size": 384, **ids, **sizes, **config}
    width = facts["n_embd" if "n_embd" in facts else "hidden_size"]
    facts.setdefault("initializer_range", min(1.1 * width**-0.5, 1.0))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model_config = getattr(transformers, f"{name}Config")(**facts)
        model = getattr(transformers, f"{name}ForCausalLM")(model_config)
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # biases of zero and norms of one would hide mistakes
                parameter.normal_(mean=float(parameter_name.endswith("weight")), std=0.1)
        for parameter in model.lm_head.parameters():
            parameter[list(mute)] = 0
    model.train(False)
    return model


def write_checkpoint(
    folder: Path, *, seed: int = 0, tokenizer: Tokenizer | None = None, ascii_only: bool = True, **config: Any
) -> Path:
    """Write a random checkpoint (safetensors, config, tokenizer) into `folder` and return it.

    `config` is what `make_model` takes, `family` included.
    With `ascii_only` greedy decoding writes printable text; without, mostly broken characters.
    """
    tokenizer = tokenizer or train_tokenizer()
    vocabulary = tokenizer.get_vocab()
    config.setdefault("vocab_size", len(vocabulary))
    if ascii_only:
        config["mute"] = {
            *(token for spelling, token in vocabulary.items() if not spelling.strip("ĠĊ").isascii()),
            *range(len(STARCODER_SENTINELS)),
        }
    make_model(seed, **config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
