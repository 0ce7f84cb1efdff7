"""The models that fimble knows by name; any other can be used by its folder or its repository on the hub.

Figures are the publishers' own, rounded; None is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

MILLION = 1_000_000

APACHE, BSD, LLAMA = "Apache-2.0", "BSD-3-Clause", "Llama 2 Community License"
OPENRAIL = "BigCode OpenRAIL-M"
DEEPSEEK, QWEN = "DeepSeek License", "Qwen Research License"


@dataclass(frozen=True)
class KnownModel:
    """A published checkpoint.

    Attributes:
        name: what the user types.
        repository: on the hub.
        family: its `model_type`.
        licence: an SPDX identifier, or the licence's name where there is none.
        download_bytes: size of the published weights.
        cache_values: elements of a token's keys and values in all layers.
    """

    name: str
    repository: str
    family: str
    parameters: int
    licence: str
    fill_in_the_middle: bool
    download_bytes: int | None
    cache_values: int


# fmt: off
TABLE: dict[str, tuple[tuple[str, str, int, str, bool, int | None, int], ...]] = {
    # family: name, repository, millions of parameters, licence, fill in the middle, megabytes to download,
    # elements of a token's keys in all layers, in units of 64
    "codegen": (
        ("codegen-350m-nl",     "Salesforce/codegen-350M-nl",             357, BSD,      False,   797,  320),
        ("codegen-350m-multi",  "Salesforce/codegen-350M-multi",          357, BSD,      False,   797,  320),
        ("codegen-350m-mono",   "Salesforce/codegen-350M-mono",           357, BSD,      False,   797,  320),
        ("codegen-2b-nl",       "Salesforce/codegen-2B-nl",              2780, BSD,      False,  5690, 1280),
        ("codegen-2b-multi",    "Salesforce/codegen-2B-multi",           2780, BSD,      False,  5690, 1280),
        ("codegen-2b-mono",     "Salesforce/codegen-2B-mono",            2780, BSD,      False,  5690, 1280),
        ("codegen-6b-nl",       "Salesforce/codegen-6B-nl",              7070, BSD,      False, 14300, 2112),
        ("codegen-6b-multi",    "Salesforce/codegen-6B-multi",           7070, BSD,      False, 14300, 2112),
        ("codegen-6b-mono",     "Salesforce/codegen-6B-mono",            7070, BSD,      False, 14300, 2112),
        ("codegen-16b-nl",      "Salesforce/codegen-16B-nl",            16030, BSD,      False, 32200, 3264),
        ("codegen-16b-multi",   "Salesforce/codegen-16B-multi",         16030, BSD,      False, 32200, 3264),
        ("codegen-16b-mono",    "Salesforce/codegen-16B-mono",          16030, BSD,      False, 32200, 3264),
    ),
    "gpt_bigcode": (
        ("santacoder",          "bigcode/gpt_bigcode-santacoder",        1120, OPENRAIL, True,   None,   48),
        ("tiny_starcoder_py",   "bigcode/tiny_starcoder_py",              164, OPENRAIL, True,    657,   20),
        ("starcoderbase-1b",    "bigcode/starcoderbase-1b",              1140, OPENRAIL, True,   4550,   48),
        ("starcoderbase-3b",    "bigcode/starcoderbase-3b",              3040, OPENRAIL, True,  12200,   72),
        ("starcoderbase-7b",    "bigcode/starcoderbase-7b",              7330, OPENRAIL, True,  29300,   84),
        ("starcoderbase",       "bigcode/starcoderbase",                15500, OPENRAIL, True,  62000,   80),
        ("starcoder",           "bigcode/starcoder",                    15500, OPENRAIL, True,  62000,   80),
    ),
    "starcoder2": (
        ("starcoder2-3b",       "bigcode/starcoder2-3b",                 3030, OPENRAIL, True,  12100,  120),
        ("starcoder2-7b",       "bigcode/starcoder2-7b",                 7170, OPENRAIL, True,   None,  256),
        ("starcoder2-15b",      "bigcode/starcoder2-15b",               15960, OPENRAIL, True,   None,  320),
    ),
    "llama": (
        ("codellama-7b",        "codellama/CodeLlama-7b-hf",             6740, LLAMA,    True,  13500, 2048),
        ("codellama-13b",       "codellama/CodeLlama-13b-hf",           13020, LLAMA,    True,  26000, 3200),
        ("deepseek-coder-1.3b", "deepseek-ai/deepseek-coder-1.3b-base",  1350, DEEPSEEK, True,   2690,  768),
        ("deepseek-coder-6.7b", "deepseek-ai/deepseek-coder-6.7b-base",  6740, DEEPSEEK, True,  13500, 2048),
        ("smollm2-135m",        "HuggingFaceTB/SmolLM2-135M",             135, APACHE,   False,   269,   90),
        ("smollm2-360m",        "HuggingFaceTB/SmolLM2-360M",             362, APACHE,   False,   724,  160),
        ("smollm2-1.7b",        "HuggingFaceTB/SmolLM2-1.7B",            1710, APACHE,   False,  3420,  768),
        ("granite-3b-code",     "ibm-granite/granite-3b-code-base",      3480, APACHE,   True,   6970, 1280),
        ("granite-8b-code",     "ibm-granite/granite-8b-code-base",      8050, APACHE,   True,  16100,  576),
    ),
    "qwen2": (
        ("qwen2.5-coder-0.5b",  "Qwen/Qwen2.5-Coder-0.5B",                494, APACHE,   True,    988,   48),
        ("qwen2.5-coder-1.5b",  "Qwen/Qwen2.5-Coder-1.5B",               1540, APACHE,   True,   3090,  112),
        ("qwen2.5-coder-3b",    "Qwen/Qwen2.5-Coder-3B",                 3090, QWEN,     True,   6170,  144),
        ("qwen2.5-coder-7b",    "Qwen/Qwen2.5-Coder-7B",                 7620, APACHE,   True,  15200,  224),
    ),
}
# fmt: on

KNOWN_MODELS = tuple(
    KnownModel(
        *(name, repository, family, parameters * MILLION, licence, middle),
        download_bytes=size and size * MILLION,
        cache_values=2 * 64 * keys,
    )
    for family, rows in TABLE.items()
    for name, repository, parameters, licence, middle, size, keys in rows
)


def find(name: str) -> KnownModel | None:
    """The known model with this name or repository, ignoring case."""
    wanted = name.casefold()
    for model in KNOWN_MODELS:
        if wanted in (model.name, model.repository.casefold()):
            return model
    return None
