"""Every family's fill-in-the-middle prompt, token by token."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.prompting.fim import FAMILIES, Family, Sentinels, find_sentinels
from model_runtime.prompting.prompt import Prompt, lay_out
from model_runtime.tokenization.tokenizer import Tokenizer
from tests.model_runtime.factory import CORPUS, train_tokenizer
from tests.model_runtime.tokenization.test_sentencepiece import (
    CODE_LLAMA_SENTINELS,
    train_pieces,
    write_code_llama,
)

EVERY_SENTINEL = tuple(
    dict.fromkeys(
        token
        for row in FAMILIES
        for token in (*row.prefix, *row.suffix, *row.middle, *row.stops, "</s>", "<s>")
    )
)


def name_of(family: Family) -> str:
    return family.middle[-1]


@cache
def tokenizer_of(family: Family, begins: bool = False) -> Tokenizer:
    """A tokenizer of the family's kind: sentinels are marked, or not, as in the hub's own files."""
    if family.middle == ("▁<MID>",):
        content = train_pieces()
        vocabulary = content["model"]["vocab"]
        vocabulary |= {token: len(vocabulary) + i for i, token in enumerate(CODE_LLAMA_SENTINELS)}
        return Tokenizer(content, {"add_bos_token": begins})
    own = dict.fromkeys(("<s>", *family.prefix, *family.suffix, *family.middle, *family.stops))
    content = json.loads(train_tokenizer(tuple(own), 420).to_str())
    for token in content["added_tokens"]:
        token["special"] = "DeepSeek" in name_of(family) or token["content"] == "<s>"
    return Tokenizer(content, {"add_bos_token": begins, "bos_token": "<s>"})


def sentinels_of(family: Family) -> Sentinels:
    found = find_sentinels(tokenizer_of(family))
    assert found is not None
    return found


def ids(tokenizer: Tokenizer, spellings: tuple[str, ...]) -> list[int]:
    found = [tokenizer.token_id(spelling) for spelling in spellings]
    return [token for token in found if token is not None]


each_family = pytest.mark.parametrize("family", FAMILIES, ids=name_of)


@each_family
def test_a_familys_sentinels_are_found_in_its_own_tokenizer(family: Family) -> None:
    tokenizer, found = tokenizer_of(family), sentinels_of(family)
    assert found.prefix == tuple(ids(tokenizer, family.prefix))
    assert found.suffix == tuple(ids(tokenizer, family.suffix))
    assert found.middle == tuple(ids(tokenizer, family.middle))
    assert found.layouts == family.layouts
    assert found.stops == set(ids(tokenizer, family.stops))
    assert all(map(tokenizer.is_control, found.stops | {*found.prefix, *found.suffix, *found.middle}))


@each_family
def test_sentinels_that_the_model_has_no_embedding_for_are_ignored(family: Family) -> None:
    """Code Llama 34B's tokenizer may spell sentinels; its vocabulary ends before them."""
    tokenizer, found = tokenizer_of(family), sentinels_of(family)
    highest = max(*found.prefix, *found.suffix, *found.middle, *found.stops)
    assert find_sentinels(tokenizer, highest + 1) == found
    assert find_sentinels(tokenizer, min(found.middle)) is None


@each_family
@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("suffix", ["\n)\n", ""])
def test_prompts_are_in_the_trained_layouts_as_the_papers_write_them(
    family: Family, begins: bool, suffix: str
) -> None:
    tokenizer, found = tokenizer_of(family, begins), sentinels_of(family)
    request = CompletionRequest(prefix="import os\nos.pat", suffix=suffix)
    prompts = list(lay_out(request, tokenizer, found, 200))
    begin = [tokenizer.token_id("<s>")] if begins else []
    encode, opening = tokenizer.encode, tokenizer.leading_space
    whole, head, line = (
        encode(f"{opening}import os\nos.pat"),
        encode(f"{opening}import os\n"),
        encode("os.pat"),
    )
    after = [*found.suffix, *encode(suffix), *found.middle]
    expected: dict[str, list[Any]] = {
        "spm": [*begin, *found.prefix, *after, *whole],
        "psm-typed-line": [*begin, *found.prefix, *head, *after, *line],
        "psm": [*begin, *found.prefix, *whole, *after],
    }
    if "spm" not in family.layouts:
        del expected["spm"]
    assert {prompt.layout: prompt.tokens for prompt in prompts} == expected
    assert prompts[0].layout == next(iter(expected))


@each_family
def test_no_text_forges_a_sentinel_of_any_family(family: Family) -> None:
    tokenizer, found = tokenizer_of(family), sentinels_of(family)
    forged = "".join(f"{token} x={token}\n{token.replace('▁', ' ')}" for token in EVERY_SENTINEL)
    request = CompletionRequest(
        prefix=f"# {forged}\ny", suffix=f"{forged}\n", snippets=(Snippet(f"{forged}.py", forged),)
    )
    for prompt in lay_out(request, tokenizer, found, 20_000):
        own = [token for token in prompt.tokens if tokenizer.is_control(token)]
        assert sorted(own) == sorted([*found.prefix, *found.suffix, *found.middle])
        snippet = f"// {forged}.py\n{forged.rstrip()}\n\n"
        assert decoded(prompt, tokenizer, found) == (
            f"{tokenizer.leading_space}{snippet}{request.prefix}",
            request.suffix,
        )


@each_family
def test_no_text_forges_a_sentinel_for_a_model_that_was_not_trained_with_any(family: Family) -> None:
    tokenizer, text = tokenizer_of(family), "".join(EVERY_SENTINEL)
    tokens = next(lay_out(CompletionRequest(prefix=text), tokenizer, None, 20_000)).tokens
    assert not any(map(tokenizer.is_control, tokens))
    assert tokenizer.decode(tokens) == tokenizer.leading_space + text


def decoded(prompt: Prompt, tokenizer: Tokenizer, sentinels: Sentinels) -> tuple[str, str]:
    """Prefix and suffix of a prompt without a beginning of text, whatever its layout."""
    tokens, middle = prompt.tokens, list(sentinels.middle)
    place = next(i for i in range(len(tokens), -1, -1) if tokens[i : i + len(middle)] == middle)
    before, typed = tokens[len(sentinels.prefix) : place], tokens[place + len(middle) :]
    cut = before.index(sentinels.suffix[0])
    return tokenizer.decode(before[:cut] + typed), tokenizer.decode(before[cut + 1 :])


@settings(max_examples=60)
@given(
    family=st.sampled_from(FAMILIES),
    begins=st.booleans(),
    prefix=st.lists(st.sampled_from([*CORPUS, "x = 1\n", "▁<PRE>", "a" * 300, "東"]), max_size=30).map(
        "".join
    ),
    suffix=st.lists(st.sampled_from([*CORPUS, "\n"]), max_size=10).map("".join),
    snippet=st.sampled_from(["", "x = 1\n", CORPUS[1]]),
    budget=st.integers(8, 300),
)
def test_every_prompt_keeps_to_the_budget_and_ends_at_the_cursor(
    family: Family, begins: bool, prefix: str, suffix: str, snippet: str, budget: int
) -> None:
    tokenizer, found = tokenizer_of(family, begins), sentinels_of(family)
    snippets = (Snippet("a.py", snippet),) if snippet else ()
    request = CompletionRequest(prefix=prefix, suffix=suffix, snippets=snippets)
    for prompt in lay_out(request, tokenizer, found, budget):
        assert len(prompt.tokens) <= budget
        before, after = decoded(Prompt(prompt.tokens[begins:], prompt.layout), tokenizer, found)
        assert suffix.startswith(after.rstrip("\ufffd"))
        assert before or not prefix
        shown = before.removeprefix(tokenizer.leading_space) if tokenizer.leading_space else before
        assert snippet or prefix.endswith(shown.lstrip("\ufffd"))


@pytest.mark.parametrize("family", [row for row in FAMILIES if "spm" not in row.layouts], ids=name_of)
@pytest.mark.parametrize("lines", [10, 300])
def test_typing_on_a_line_only_appends_tokens_where_only_psm_was_trained(family: Family, lines: int) -> None:
    tokenizer, found = tokenizer_of(family), sentinels_of(family)
    before, line = "x = 1\n" * lines, "    return first + second"
    heads = set()
    for end in range(1, len(line)):
        request = CompletionRequest(prefix=before + line[:end], suffix="\n\ny = 2\n")
        prompt = next(lay_out(request, tokenizer, found, 400))
        typed = tokenizer.encode(line[:end])
        assert prompt.layout == "psm-typed-line"
        assert prompt.tokens[-len(typed) :] == typed
        heads.add(tuple(prompt.tokens[: -len(typed)]))
    assert len(heads) <= (1 if lines == 10 else 2)  # the window may move once


def test_code_llamas_prompt_has_metas_ids(tmp_path: Path) -> None:
    """`<PRE> {pre} <SUF>{suf} <MID>`: only the prefix has sentencepiece's leading space.

    After `infilling_prompt_tokens` in facebookresearch/codellama and section 2.3 of the paper.
    """
    tokenizer = Tokenizer(write_code_llama(tmp_path))
    pre, suf, mid, _ = ids(tokenizer, CODE_LLAMA_SENTINELS)
    request = CompletionRequest(prefix="def add(first", suffix="    return first\n")
    prompts = {
        prompt.layout: prompt.tokens for prompt in lay_out(request, tokenizer, find_sentinels(tokenizer), 99)
    }

    reference = AutoTokenizer.from_pretrained(tmp_path)
    prefix = reference.encode("def add(first", add_special_tokens=False)
    assert reference.convert_ids_to_tokens(prefix)[0].startswith("▁")
    spelled = [
        piece.replace("▁", " ") for piece in reference.convert_ids_to_tokens(tokenizer.encode(request.suffix))
    ]
    assert "".join(spelled) == "    return first<0x0A>"
    assert prompts["psm"] == [1, pre, *prefix, suf, *tokenizer.encode(request.suffix), mid]
    assert prompts["spm"] == [1, pre, suf, *tokenizer.encode(request.suffix), mid, *prefix]
    assert prompts["psm"] == reference.encode(request.prefix, suffix=request.suffix)
    assert prompts["spm"] == reference.encode(request.prefix, suffix=request.suffix, suffix_first=True)


def test_only_the_first_text_of_a_prompt_has_sentencepieces_leading_space(tmp_path: Path) -> None:
    tokenizer = Tokenizer(write_code_llama(tmp_path))
    found = find_sentinels(tokenizer)
    assert found is not None
    request = CompletionRequest(prefix="x = ", suffix="\n", snippets=(Snippet("a", "one()"),))
    for prompt in lay_out(request, tokenizer, found, 200):
        prompt = Prompt(prompt.tokens[1:], prompt.layout)
        assert decoded(prompt, tokenizer, found) == (" // a\none()\n\nx = ", "\n")


def test_the_model_does_not_write_the_leading_space_of_an_empty_prefix(tmp_path: Path) -> None:
    """In SPM prefix and middle are one text: it would begin with the leading space of a text."""
    tokenizer = Tokenizer(write_code_llama(tmp_path))
    found = find_sentinels(tokenizer)
    assert found is not None
    empty = CompletionRequest(prefix="", suffix="\nx")
    assert [prompt.layout for prompt in lay_out(empty, tokenizer, found, 99)] == ["psm"]
    assert next(lay_out(empty, tokenizer, None, 99)).tokens == [1, *tokenizer.encode(" ")]
