"""Small shapes of every family, each with something that its others do not have."""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]

GPT_BIGCODE: dict[str, Shape] = {
    "multi-query": {},
    "multi-head": {"multi_query": False},
    "one head of 32": {"n_head": 1},
    "heads of 64": {"n_embd": 192, "n_head": 3},
    "heads of 128, an odd vocabulary": {"n_embd": 256, "vocab_size": 391},
    "multi-head, heads of 64": {"n_embd": 128, "multi_query": False, "vocab_size": 385},
    "scores not scaled": {"scale_attn_weights": False},
    "softmax not asked for in fp32": {
        "attention_softmax_in_fp32": False,
        "scale_attention_softmax_in_fp32": False,
    },
    "a narrow MLP": {"n_inner": 50},
    "a wide MLP, one layer": {"n_inner": 200, "n_layer": 1},
    "another activation": {"activation_function": "gelu"},
    "an untied head": {"tie_word_embeddings": False},
    "another epsilon": {"layer_norm_epsilon": 1e-2},
}

GPTJ: dict[str, Shape] = {
    "2 heads of 16, half of each turned": {},
    "heads turned as a whole": {"rotary_dim": 16},
    "4 heads of 12, little of each turned": {"n_embd": 48, "n_head": 4, "rotary_dim": 2},
    "one head": {"n_head": 1, "rotary_dim": 10},
    "heads of odd size": {"n_embd": 45, "n_head": 5, "rotary_dim": 6, "vocab_size": 385},
    "a tied head": {"tie_word_embeddings": True},
    "another MLP, one layer": {"n_inner": 50, "activation_function": "relu", "n_layer": 1},
    "another epsilon": {"layer_norm_epsilon": 1e-2},
}

CODEGEN: dict[str, Shape] = {
    "4 heads of 8, half of each turned": {},
    "heads turned as a whole": {"rotary_dim": 8},
    "8 heads of 4": {"n_head": 8, "rotary_dim": 2},
    "16 heads": {"n_embd": 64, "n_head": 16, "rotary_dim": 4},
    "12 heads, one layer": {"n_embd": 48, "n_head": 12, "rotary_dim": 2, "n_layer": 1},
    "a tied head": {"tie_word_embeddings": True},
    "another MLP": {"n_inner": 50, "activation_function": "gelu", "vocab_size": 391},
    "another epsilon": {"layer_norm_epsilon": 1e-2},
}

LLAMA: dict[str, Shape] = {
    "2 query heads to a key head": {},
    "as many key heads": {"num_key_value_heads": 4},
    "one key head, a tied head": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "3 query heads to a key head": {"hidden_size": 60, "num_attention_heads": 6, "vocab_size": 385},
    "heads wider than their share": {"head_dim": 16, "rms_norm_eps": 1e-2},
    "heads narrower than their share": {"head_dim": 6, "num_attention_heads": 2, "num_key_value_heads": 1},
    "a bias in attention": {"attention_bias": True},
    "a bias in the MLP, another activation": {"mlp_bias": True, "hidden_act": "gelu"},
    "Code Llama's theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "linear scaling": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 4.0}},
}

QWEN2: dict[str, Shape] = {
    "2 query heads to a key head": {},
    "as many key heads": {"num_key_value_heads": 4},
    "one key head, a tied head": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "7 query heads to a key head": {"hidden_size": 56, "num_attention_heads": 7, "num_key_value_heads": 1},
    "another theta and epsilon": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "rms_norm_eps": 1e-2,
    },
    "a window not used": {"sliding_window": 8, "use_sliding_window": False},
    "a window as wide as the context": {
        "sliding_window": 256,
        "use_sliding_window": True,
        "max_window_layers": 1,
    },
}

STARCODER2: dict[str, Shape] = {
    "2 query heads to a key head": {},
    "as many key heads, an untied head": {"num_key_value_heads": 4, "tie_word_embeddings": False},
    "one key head": {"num_key_value_heads": 1, "intermediate_size": 100},
    "6 query heads to a key head": {
        "hidden_size": 48,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 385,
    },
    "no biases": {"use_bias": False, "norm_epsilon": 1e-2},
    "another activation and theta": {
        "hidden_act": "gelu",
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e5},
    },
    "a window wider than the context": {"sliding_window": 4096},
}

FAMILIES: dict[str, dict[str, Shape]] = {
    "gpt_bigcode": GPT_BIGCODE,
    "gptj": GPTJ,
    "codegen": CODEGEN,
    "llama": LLAMA,
    "qwen2": QWEN2,
    "starcoder2": STARCODER2,
}

SHAPES: dict[str, Shape] = {
    f"{family}: {name}": {"family": family, **shape}
    for family, shapes in FAMILIES.items()
    for name, shape in shapes.items()
}
"""All of them, as `make_model` and `write_checkpoint` take them."""
