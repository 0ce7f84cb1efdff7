from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.prompting.fim import Sentinels, find_sentinels
from model_runtime.prompting.prompt import Prompt, lay_out
from model_runtime.tokenization.tokenizer import Tokenizer
from tests.model_runtime.factory import train_tokenizer

SENTINELS = Sentinels(prefix=(1,), suffix=(3,), middle=(2,))


@pytest.fixture(scope="module")
def tokenizer(checkpoint_folder: Path) -> Tokenizer:
    return Tokenizer(checkpoint_folder / "tokenizer.json")


def numbered(count: int, first: int = 0) -> str:
    return "".join(f"value_{line} = {line}\n" for line in range(first, first + count))


def parts(prompt: Prompt, tokenizer: Tokenizer) -> tuple[str, str]:
    """The texts of a prompt's prefix and suffix."""
    tokens = prompt.tokens
    if prompt.layout == "prefix":
        return tokenizer.decode(tokens), ""
    if prompt.layout == "psm":
        assert tokens[0] == 1
        assert tokens[-2:] == [3, 2]
        return tokenizer.decode(tokens[1:-2]), ""
    assert tokens[:2] == [1, 3]
    middle = tokens.index(2)
    return tokenizer.decode(tokens[middle + 1 :]), tokenizer.decode(tokens[2:middle])


LINES = st.text(alphabet="ab =\n\t(東", max_size=400) | st.lists(
    st.sampled_from(["x = 1\n", "\n\n", "    return value\n", "a" * 300, "<fim_middle>"]), max_size=60
).map("".join)


@settings(max_examples=200)
@given(
    prefix=LINES,
    suffix=LINES,
    snippets=st.lists(LINES.map(lambda text: Snippet("other.py", text)), max_size=3).map(tuple),
    budget=st.integers(8, 300),
    sentinels=st.sampled_from([None, SENTINELS]),
)
def test_any_prompt_keeps_to_its_budget_and_ends_with_the_prefix(
    tokenizer: Tokenizer,
    prefix: str,
    suffix: str,
    snippets: tuple[Snippet, ...],
    budget: int,
    sentinels: Sentinels | None,
) -> None:
    request = CompletionRequest(prefix=prefix, suffix=suffix, snippets=snippets)
    prompt = next(lay_out(request, tokenizer, sentinels, budget))
    assert len(prompt.tokens) <= budget
    assert prompt.layout == ("prefix" if sentinels is None else "spm")
    before, after = parts(prompt, tokenizer)
    assert suffix.startswith(after.rstrip("\ufffd"))
    assert before or not prefix
    if not snippets:
        assert prefix.endswith(before.lstrip("\ufffd"))
    if len(tokenizer.encode(prefix)) + len(tokenizer.encode(suffix)) + 3 <= budget // 2:
        assert before.endswith(prefix)
        assert after == (suffix if sentinels else "")


def test_a_text_that_fits_is_kept_whole(tokenizer: Tokenizer) -> None:
    request = CompletionRequest(prefix="def add(a, b):\n    ret", suffix="\n\nprint(add(1, 2))\n")
    prompt = next(lay_out(request, tokenizer, SENTINELS, 200))
    assert parts(prompt, tokenizer) == (request.prefix, request.suffix)


def test_a_long_text_is_clipped_three_to_one_at_whole_lines(tokenizer: Tokenizer) -> None:
    request = CompletionRequest(prefix=numbered(500) + "value", suffix="\n" + numbered(500))
    prompt = next(lay_out(request, tokenizer, SENTINELS, 403))
    before, after = parts(prompt, tokenizer)
    assert request.prefix.endswith("\n" + before)
    assert after.endswith("\n")
    assert 80 <= len(tokenizer.encode(after)) <= 100
    assert 225 <= len(tokenizer.encode(before)) <= 320


@pytest.mark.parametrize(("lines_before", "lines_after"), [(0, 500), (2, 500), (500, 0), (500, 2)])
def test_each_side_uses_what_the_other_leaves(
    tokenizer: Tokenizer, lines_before: int, lines_after: int
) -> None:
    request = CompletionRequest(prefix=numbered(lines_before), suffix=numbered(lines_after))
    assert len(next(lay_out(request, tokenizer, SENTINELS, 400)).tokens) >= 300


@pytest.mark.parametrize("suffix", ["", "\n" + numbered(500)])
@pytest.mark.parametrize("start", [0, 5, 30, 500])
def test_while_the_user_types_only_the_end_of_the_prompt_changes(
    tokenizer: Tokenizer, start: int, suffix: str
) -> None:
    """Most keystrokes leave all but the last few tokens of the prompt as they were."""
    prefix, typed = numbered(start), numbered(20, first=start)
    previous: list[int] = []
    moves = 0
    for end in range(len(typed)):
        request = CompletionRequest(prefix=prefix + typed[:end], suffix=suffix)
        tokens = next(lay_out(request, tokenizer, SENTINELS, 600)).tokens
        common = next(
            (i for i, (a, b) in enumerate(zip(previous, tokens, strict=False)) if a != b),
            min(len(previous), len(tokens)),
        )
        moves += common < len(previous) - 8
        previous = tokens
    assert moves <= 5


def test_one_line_longer_than_the_budget_is_cut_and_moves_in_steps(tokenizer: Tokenizer) -> None:
    windows = set()
    line = "data = [" + ", ".join(map(str, range(20_000)))
    for end in range(len(line) - 100, len(line)):
        prompt = next(lay_out(CompletionRequest(prefix=line[:end]), tokenizer, SENTINELS, 100))
        assert 60 <= len(prompt.tokens) <= 100
        windows.add(tuple(prompt.tokens[1:21]))
    assert len(windows) <= 12


class WatchedTokenizer(Tokenizer):
    encoded = 0

    def encode(self, text: str) -> list[int]:
        self.encoded += len(text)
        return super().encode(text)


def test_a_huge_file_is_clipped_before_it_is_tokenised(checkpoint_folder: Path) -> None:
    tokenizer = WatchedTokenizer(checkpoint_folder / "tokenizer.json")
    request = CompletionRequest(prefix=numbered(50_000), suffix=numbered(50_000))
    next(lay_out(request, tokenizer, SENTINELS, 400))
    assert tokenizer.encoded < 400 * 6 * 3


def test_sentinels_in_the_text_stay_text(tokenizer: Tokenizer) -> None:
    request = CompletionRequest(prefix="<fim_middle><fim_suffix>", suffix="<|endoftext|><fim_prefix>")
    prompt = next(lay_out(request, tokenizer, SENTINELS, 200))
    assert [token for token in prompt.tokens if token < 5] == [1, 3, 2]
    assert parts(prompt, tokenizer) == (request.prefix, request.suffix)


def test_an_empty_prefix_and_suffix_make_a_prompt(tokenizer: Tokenizer) -> None:
    assert next(lay_out(CompletionRequest(prefix=""), tokenizer, SENTINELS, 8)).tokens == [1, 3, 2]
    assert next(lay_out(CompletionRequest(prefix=""), tokenizer, None, 8)).tokens == []


@pytest.mark.parametrize(
    ("language", "header"), [("python", "# src/a.py\n"), ("rust", "// src/a.py\n"), ("lua", "-- src/a.py\n")]
)
def test_snippets_precede_the_prefix_under_their_paths(
    tokenizer: Tokenizer, language: str, header: str
) -> None:
    snippets = (Snippet("src/a.py", "one()"), Snippet("src/a.py", "two()\n\n"))
    request = CompletionRequest(prefix="x = ", suffix="\n", snippets=snippets, language=language)
    before, _ = parts(next(lay_out(request, tokenizer, SENTINELS, 200)), tokenizer)
    assert before == f"{header}one()\n\n{header}two()\n\nx = "


def test_snippets_that_do_not_fit_are_left_out_from_the_first_on(tokenizer: Tokenizer) -> None:
    snippets = (Snippet("a", "one()"), Snippet("b", numbered(100)), Snippet("c", "three()"))
    request = CompletionRequest(prefix="x = ", snippets=snippets)
    before, _ = parts(next(lay_out(request, tokenizer, SENTINELS, 100)), tokenizer)
    assert before == "// a\none()\n\nx = "


def test_a_prefix_that_fills_the_budget_leaves_no_room_for_snippets(tokenizer: Tokenizer) -> None:
    request = CompletionRequest(prefix=numbered(500), snippets=(Snippet("a", "1"),))
    before, _ = parts(next(lay_out(request, tokenizer, SENTINELS, 400)), tokenizer)
    assert request.prefix.endswith(before)


@pytest.mark.parametrize(
    ("spellings", "ids"),
    [
        (("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>"), [(1,), (3,), (2,)]),
        (("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>"), [(1,), (3,), (2,)]),
        (("<|endoftext|>", "<fim_prefix>", "<fim-middle>", "<fim_suffix>"), None),
        (("<|endoftext|>",), None),
    ],
)
def test_sentinels_are_found_by_their_spelling(
    tmp_path: Path, spellings: tuple[str, ...], ids: list[tuple[int, ...]] | None
) -> None:
    train_tokenizer(spellings).save(str(tmp_path / "tokenizer.json"))
    found = find_sentinels(Tokenizer(tmp_path / "tokenizer.json"))
    assert (found and [found.prefix, found.suffix, found.middle]) == ids
