"""What a model writes that is no code: control tokens as text, fences, and answers to a person."""

from __future__ import annotations

import pytest

from lsp_server.trimming import Trim, trim

SPELLINGS = [
    *("<|cursor|>", "<|fim_middle|>", "<|endoftext|>", "<|im_end|>", "<fim_suffix>", "<fim-middle>", "</s>"),
    *("<file_sep>", "<repo_name>", "<EOT>", "<｜fim▁end｜>", "<[fim-suffix]>", "[/INST]", "<end_of_turn>"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("language", ["javascript", "c", "python", "ruby", ""])
def test_a_completion_ends_before_a_control_spelling(spelling: str, language: str) -> None:
    trimming = Trim("x = ", "\n", language=language)
    for character in f"foo(1){spelling} + bar":
        assert "foo(1)".startswith(trimming.feed(character))
    assert trimming.done
    assert trimming.shown == "foo(1)"


def test_nothing_is_left_of_a_call_that_a_control_spelling_breaks_off() -> None:
    assert trim("foo(<|cursor|>);", "x = ", "\n", language="javascript") == ""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_document_that_has_a_control_spelling_gets_more_of_it(spelling: str) -> None:
    assert trim(f'"{spelling}"', f'x = "{spelling}"\ny = ', "\n", language="python") == f'"{spelling}"'


@pytest.mark.parametrize("text", ["a < b", "a <b", "a<|", "x[IN]", "List<file>", "f <| x |> g", "a <f"])
def test_what_only_begins_like_a_control_spelling_is_code(text: str) -> None:
    assert trim(text, "y = ", "\n", language="fsharp") == text


@pytest.mark.parametrize("language", ["javascript", "python", "go"])
@pytest.mark.parametrize(
    "text",
    [
        "```js\nx = 1\n```",
        "Sure! Here is the code:\nx = 1",
        "Certainly! x = 1",
        "Certainly, here is the code:",
        "Here's the completed code:\n\nx = 1",
        "\nHere is the function:\nx = 1",
        "I'm sorry, but x",
    ],
)
def test_answers_to_a_person_are_dropped_in_code(language: str, text: str) -> None:
    assert trim(text, "", "\ny = 2\n", language=language) == ""


def test_a_completion_ends_before_a_fence_and_what_is_said_after_it() -> None:
    assert trim("x = 1\n```\nThis code", "", "\n", language="javascript") == "x = 1"
    assert trim("x = 1\nHere's the rest:\n", "", "\n", language="python") == "x = 1"


@pytest.mark.parametrize("text", ["Sure = 1", "Surely(1)", "Here = 2", "Greatest(a, b)", "`a`"])
def test_names_that_begin_like_an_answer_are_code(text: str) -> None:
    assert trim(text, "", "\n", language="javascript") == text


@pytest.mark.parametrize("language", ["markdown", "plaintext"])
@pytest.mark.parametrize("text", ["Here is the plan", "```js"])
def test_prose_may_say_anything(language: str, text: str) -> None:
    assert trim(text, "", "\n", language=language) == text


def test_a_comment_may_say_anything() -> None:
    assert trim("Here's the plan", "# ", "\n", language="python") == "Here's the plan"
