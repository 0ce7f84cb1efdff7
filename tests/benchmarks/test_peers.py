"""The command that a result names can be repeated by others."""

from __future__ import annotations

from benchmarks.peers import public


def test_the_command_of_a_result_names_no_places_of_the_machine() -> None:
    words = ["--work", "/somewhere/x", "--llama-server", "/opt/bin/llama-server", "--rounds", "5"]
    assert public([*words, "--results", "there"]) == ["--llama-server", "llama-server", "--rounds", "5"]
    assert public([]) == []
