"""Settings: what an editor sets counts, what it sets wrongly costs nothing else."""

from __future__ import annotations

from dataclasses import fields

import pytest

from lsp_server.settings import Settings, read_settings, setting_names, settings_schema
from model_runtime.api import ModelOptions


def test_what_an_editor_sets_takes_the_place_of_the_defaults() -> None:
    options = {"model": "/m", "device": "cpu", "maxTokens": 9, "latencyBudgetMs": 150, "multiline": False}
    settings, mistakes = read_settings(options, Settings(dtype="fp32", max_tokens=3))
    assert settings == Settings(
        model="/m", device="cpu", dtype="fp32", max_tokens=9, latency_budget_ms=150, multiline=False
    )
    assert mistakes == []


def test_another_limit_of_memory_is_another_way_to_open_the_model() -> None:
    settings, mistakes = read_settings({"memoryMb": 64}, Settings(model="/m"))
    assert (settings.model_options, mistakes) == (ModelOptions("/m", memory_mb=64), [])
    assert settings.model_options != Settings(model="/m").model_options
    assert read_settings({"memoryMb": None}, settings)[0] == Settings(model="/m")


@pytest.mark.parametrize("options", [None, [], "", False, {"fimble": []}, {"fimble": {}}])
def test_no_options_are_the_defaults_however_an_editor_spells_them(options: object) -> None:
    assert read_settings(options, Settings(top_k=4)) == (Settings(top_k=4), [])


def test_languages_are_switched_one_by_one_or_all_but_some() -> None:
    settings, mistakes = read_settings({"languages": {"markdown": False}}, Settings())
    assert mistakes == []
    assert [settings.languages.allow(name) for name in ("markdown", "python", "")] == [False, True, True]
    settings, _ = read_settings({"languages": {"*": False, "python": True}}, Settings())
    assert [settings.languages.allow(name) for name in ("markdown", "python", "")] == [False, True, False]
    settings, mistakes = read_settings({"languages": {"python": "no"}}, Settings())
    assert (settings, len(mistakes)) == (Settings(), 1)


def test_the_options_may_be_the_whole_section() -> None:
    options = {"fimble": {"topK": 7, "topP": "?"}}
    settings, mistakes = read_settings(options, Settings())
    assert (settings, len(mistakes)) == (Settings(top_k=7), 1)


@pytest.mark.parametrize(
    ("key", "meant"), [("maxTokns", "maxTokens"), ("max_tokens", "maxTokens"), ("Model", "model")]
)
def test_an_unknown_setting_is_a_mistake_with_a_hint(key: str, meant: str) -> None:
    settings, mistakes = read_settings({key: 1, "topK": 5}, Settings())
    assert settings == Settings(top_k=5)
    assert mistakes == [f"there is no setting `{key}`: did you mean `{meant}`?"]


def test_an_unknown_setting_that_is_like_none_names_all_there_are() -> None:
    _, [mistake] = read_settings({"zzz": 1}, Settings())
    assert mistake.startswith("there is no setting `zzz`; there are model, device, dtype, quantize")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("maxTokens", 0, "a whole number, at least 1"),
        ("maxTokens", True, "a whole number, at least 1"),
        ("maxTokens", "9", "a whole number, at least 1"),
        ("memoryMb", 63, "a whole number of megabytes, at least 64, or null"),
        ("memoryMb", True, "a whole number of megabytes, at least 64, or null"),
        ("memoryMb", 512.5, "a whole number of megabytes, at least 64, or null"),
        ("quantize", "int5", 'one of "auto", "none", "int8", "int4"'),
        ("latencyBudgetMs", 0, "a number of milliseconds above 0"),
        ("temperature", -1, "a number, at least 0"),
        ("topK", 1.5, "a whole number, at least 0"),
        ("topP", 0, "a number above 0, at most 1"),
        ("device", "gpu", 'one of "auto", "cpu", "cuda", "mps"'),
        ("dtype", ["fp32"], 'one of "auto", "fp32", "fp16", "bf16"'),
        ("model", "", "a folder, or null"),
        ("multiline", 1, "true or false"),
        ("metrics", "off", "true or false"),
    ],
)
def test_a_wrong_value_is_a_mistake_that_says_what_it_has_to_be(key: str, value: object, words: str) -> None:
    settings, [mistake] = read_settings({key: value}, Settings())
    assert settings == Settings()
    assert mistake.startswith(f"the setting `{key}` is {value!r}, but must be {words}")


def test_settings_that_are_no_object_are_a_mistake() -> None:
    assert read_settings([1], Settings())[1] == ["the settings are [1], but must be an object"]


def test_every_setting_accepts_its_own_default() -> None:
    defaults = {name: schema["default"] for name, schema in settings_schema().items()}
    assert len(defaults) == len(fields(Settings))
    assert read_settings(defaults, Settings()) == (Settings(), [])


def test_an_editor_s_settings_page_can_be_made_of_what_we_say_of_each_setting() -> None:
    schema = settings_schema()
    assert list(schema) == setting_names()
    assert schema["device"]["enum"] == ["auto", "cpu", "cuda", "mps"]
    assert schema["maxTokens"] | {"description": ""} == {
        "type": "integer",
        "minimum": 1,
        "default": 64,
        "description": "",
    }
    assert all(each["description"] for each in schema.values())


@pytest.mark.parametrize("name", setting_names())
def test_a_value_that_the_schema_turns_down_is_turned_down_by_the_server_too(name: str) -> None:
    schema = settings_schema()[name]
    wrong: list[object] = [{"neither": 3}, *(["neither"] if "enum" in schema else [])]
    for limit, step in {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1}.items():
        if limit in schema:
            wrong.append(schema[limit] + step)  # type: ignore[operator]
    for value in wrong:
        assert read_settings({name: value}, Settings())[1], value
    assert read_settings({name: schema["default"]}, Settings())[1] == []
