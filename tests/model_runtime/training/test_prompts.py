"""Examples are written as the runtime writes its prompts: the same layouts, tokens and headers."""

from __future__ import annotations

from random import Random

import pytest

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.models import DEFAULT_MODEL
from model_runtime.prompting import Prompt, find_sentinels, lay_out
from model_runtime.tokenization import Tokenizer
from model_runtime.training import Example, Layout, Packer, SpecialTokens
from model_runtime.training.examples import snippets
from tests.model_runtime.training.source_code import default_tokenizer

PREFIX = "import math\n\n\ndef area(radius):\n    return "
SUFFIX = "\n\n\ndef volume(radius):\n    pass\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(DEFAULT_MODEL)


def prompts(tokenizer: Tokenizer, request: CompletionRequest) -> dict[str, Prompt]:
    found = lay_out(request, tokenizer, find_sentinels(tokenizer), 600)
    return {prompt.layout: prompt for prompt in found}


def trained(example: Example) -> list[int]:
    """The tokens before the middle."""
    packer = Packer(default_tokenizer(), SpecialTokens(0, 1, 2, 3, 4), 600)
    (tokens,) = packer.encode([example])
    return [token for token in tokens if token < packer.middle_bit]


@pytest.mark.parametrize("layout", ["psm", "spm"])
@pytest.mark.parametrize("suffix", [SUFFIX, ""])
def test_a_prompt_is_laid_out_as_in_training(tokenizer: Tokenizer, layout: Layout, suffix: str) -> None:
    ours = prompts(tokenizer, CompletionRequest(PREFIX, suffix, language="python"))[layout].tokens
    assert ours == trained(Example(layout, PREFIX, "math.pi", suffix))


def test_the_typed_line_layout_is_psm_whose_middle_begins_with_the_line(tokenizer: Tokenizer) -> None:
    ours = prompts(tokenizer, CompletionRequest(PREFIX, SUFFIX, language="python"))["psm-typed-line"].tokens
    head, line = PREFIX[: PREFIX.rindex("\n") + 1], PREFIX[PREFIX.rindex("\n") + 1 :]
    assert ours == trained(Example("psm", head, line, SUFFIX)) + tokenizer.encode(line)


def test_snippets_precede_the_prefix_under_their_paths_as_in_training(tokenizer: Tokenizer) -> None:
    code = "def circle(radius):\n    return area(radius)"
    snippet = Snippet("shapes/round.py", code)
    request = CompletionRequest(PREFIX, SUFFIX, snippets=(snippet,), language="python")
    context = snippets(PREFIX, [(snippet.path, code + "\n")], Random(0))
    ours = prompts(tokenizer, request)["spm"].tokens
    # The runtime encodes each snippet by itself, training all in one: the text is the same.
    assert tokenizer.decode(ours) == tokenizer.decode(
        trained(Example("spm", context + PREFIX, "math.pi", SUFFIX))
    )
    assert context == f"# {snippet.path}\n{code}\n\n"
