"""What is trained is what the runtime sends: the same layouts, tokens and headers."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.prompting.prompt import Prompt, candidates, find_sentinels
from model_runtime.tokenization.tokenizer import Tokenizer
from model_runtime.training.infilling import Example, Layout, snippets
from model_runtime.training.packing import encode
from model_runtime.training.rows import MIDDLE
from model_runtime.training.vocabulary import save_tokenizer, train_tokenizer
from tests.model_runtime.training.wheels import module

PREFIX = "import math\n\n\ndef area(radius):\n    return "
SUFFIX = "\n\n\ndef volume(radius):\n    pass\n"


def prompts(folder: Path, request: CompletionRequest) -> dict[str, Prompt]:
    tokenizer = Tokenizer(folder)
    found = candidates(request, tokenizer, find_sentinels(tokenizer), 600)
    return {prompt.layout: prompt for prompt in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tokenizer(train_tokenizer([module(seed) for seed in range(5)], 500), folder)
    return folder


def trained(folder: Path, example: Example) -> list[int]:
    """What stands before the middle."""
    import tokenizers

    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    (tokens,) = encode([example], library)
    return [token for token in tokens if token < MIDDLE]


@pytest.mark.parametrize("layout", ["psm", "spm"])
@pytest.mark.parametrize("suffix", [SUFFIX, ""])
def test_a_prompt_is_laid_out_as_in_training(folder: Path, layout: Layout, suffix: str) -> None:
    ours = prompts(folder, CompletionRequest(PREFIX, suffix, language="python"))[layout].tokens
    assert ours == trained(folder, Example(layout, PREFIX, "math.pi", suffix))


def test_the_typed_line_layout_is_psm_whose_middle_begins_with_the_line(folder: Path) -> None:
    ours = prompts(folder, CompletionRequest(PREFIX, SUFFIX, language="python"))["typed"].tokens
    head, line = PREFIX[: PREFIX.rindex("\n") + 1], PREFIX[PREFIX.rindex("\n") + 1 :]
    before = trained(folder, Example("psm", head, line, SUFFIX))
    assert ours == before + Tokenizer(folder).encode(line)


def test_snippets_stand_before_the_prefix_under_their_paths_as_in_training(folder: Path) -> None:
    piece = "def circle(radius):\n    return area(radius)"
    snippet = Snippet("shapes/round.py", piece)
    request = CompletionRequest(PREFIX, SUFFIX, snippets=(snippet,), language="python")
    context = snippets(PREFIX, [(snippet.path, piece + "\n")], Random(0))
    ours = prompts(folder, request)["spm"].tokens
    tokenizer = Tokenizer(folder)
    # The runtime encodes each piece by itself, training all in one: the text is the same.
    assert tokenizer.decode(ours) == tokenizer.decode(
        trained(folder, Example("spm", context + PREFIX, "math.pi", SUFFIX))
    )
    assert context == f"# {snippet.path}\n{piece}\n\n"
