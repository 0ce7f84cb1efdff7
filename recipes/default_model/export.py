"""The trained weights as a checkpoint folder, with matrices in int8.

An ordinary GPTBigCode checkpoint, except that a matrix ``X`` is stored as int8 with ``X.scale`` beside it,
one scale for each row.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from model_runtime.checkpoints import INT8_METHOD
from model_runtime.torch_decoder import quantize
from model_runtime.training import load_state
from recipes.default_model.network import Shape
from recipes.default_model.vocabulary import special_tokens


def checkpoint_config(shape: Shape, end_of_text: int) -> dict[str, Any]:
    """The `config.json` of a GPTBigCode model of this shape, in transformers' terms."""
    return {
        "architectures": ["GPTBigCodeForCausalLM"],
        "model_type": "gpt_bigcode",
        "vocab_size": shape.vocab_size,
        "n_positions": shape.context,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": 4 * shape.width,
        "activation_function": "gelu_pytorch_tanh",
        "multi_query": True,
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "attention_softmax_in_fp32": True,
        "scale_attention_softmax_in_fp32": True,
        "tie_word_embeddings": True,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": "float32",
    }


def read_weights(folder: Path, shape: Shape) -> dict[str, Tensor]:
    """The weights of an exported model, in fp32, for a network of this shape.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: it has another shape.
    """
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"there is no {folder / 'model.safetensors'} to start from")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    wanted = checkpoint_config(shape, config["eos_token_id"])
    different = [
        name
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
        if config[name] != wanted[name]
    ]
    if different:
        said = ", ".join(f"{name} is {config[name]}, not {wanted[name]}" for name in different)
        raise ValueError(f"{folder} has another shape: {said}")
    tensors = load_file(folder / "model.safetensors")
    scales = {
        name.removesuffix(".scale"): scale for name, scale in tensors.items() if name.endswith(".scale")
    }
    return {
        name: weight.float() * scales[name].float()[:, None] if name in scales else weight.float()
        for name, weight in tensors.items()
        if not name.endswith(".scale")
    }


def trained_state(run: Path) -> dict[str, Any]:
    """The saved state of the training run in a folder, with the keys "network" and "shape".

    Raises:
        FileNotFoundError: nothing has been trained there.
    """
    state = load_state(run / "checkpoint")
    if state is None:
        raise FileNotFoundError(f"there is no {run / 'checkpoint'}: run the step `train` first")
    return state


def export_model(run: Path, target: Path, quantized: bool = True) -> None:
    """Write the run's last weights to the folder `target`: config, weights, tokenizer.

    Raises:
        FileNotFoundError: nothing has been trained in the folder `run`.
    """
    state = trained_state(run)
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    config = checkpoint_config(Shape(**state["shape"]), special_tokens(tokenizer).end_of_text)
    tensors: dict[str, Tensor] = {}
    for name, weight in state["network"].items():
        if quantized and weight.ndim == 2:
            matrix = quantize(weight)
            tensors[name], tensors[f"{name}.scale"] = matrix.values, matrix.scale
        else:
            tensors[name] = weight.contiguous()
    if quantized:
        config["quantization_config"] = {"quant_method": INT8_METHOD}
    target.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copy(run / "tokenizer.json", target / "tokenizer.json")
