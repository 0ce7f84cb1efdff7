"""The same keys at two clients: by turns, to the end, and compared."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.typing_replay import Llama, Ours, Typed, at_common_keys, markdown, type_at, verdicts
from lsp_server.bench.typist import Assistant, Keystroke, Quantiles, TypedKey, Watch
from model_runtime.api import Usage


class Client:
    """Shows nothing, at once."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self._story = story
        self._watch = Watch()

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        self._story.append(f"{self.name} {file.name}")
        self._watch = watch
        return self

    async def start(self) -> None:
        self._story.append(f"{self.name} starts")

    async def rest(self) -> None:
        self._story.append(f"{self.name} rests")

    async def stop(self) -> None:
        self._story.append(f"{self.name} stops")

    def opened(self, text: str) -> None:
        pass

    def pressed(self, key: Keystroke, text: str) -> None:
        self._watch.computed(Usage(10, 8, 3))
        self._watch.answered()

    async def wait_idle(self) -> None:
        pass

    async def close(self) -> None:
        pass


def typed(*waits: float) -> Typed:
    keys = [
        TypedKey(Keystroke(0.0, "move", None, 0), number, number + wait / 1000, None, number + 1)
        for number, wait in enumerate(waits)
    ]
    return Typed(keys, Usage(10 * len(keys), 8 * len(keys), 3 * len(keys)))


async def test_clients_type_by_turns_and_get_the_same_keys(tmp_path: Path) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text("total = add(1, 2)\nprint(total)\n", encoding="utf-8")
    story: list[str] = []
    asked = Namespace(seed=1, characters=10, no_accepts=True, skip_idle=True)
    found = await type_at([Client("one", story), Client("two", story)], files, asked)
    assert story[:6] == ["one starts", "one a.py", "one rests", "two starts", "two a.py", "two rests"]
    assert [line for line in story if "b.py" in line] == ["one b.py", "two b.py"]
    assert [key.key for key in found["one"].keys] == [key.key for key in found["two"].keys]
    assert found["one"].usage.decoded_tokens == 3 * len(found["one"].keys)
    assert story[-2:] == ["one stops", "two stops"]


def test_the_table_puts_both_side_by_side() -> None:
    table = markdown({Ours.name: typed(10, 20), Llama.name: typed(50, 400)})
    assert table.startswith("| | fimble | llama.cpp + llama.vim |\n")
    assert "| key to text, p50 / p95 ms | 10.0 / 20.0 | 50.0 / 400.0 |" in table
    assert "| tokens prefilled / decoded a key | 2.0 / 3.0 | 2.0 / 3.0 |" in table


def test_the_same_keys_are_compared_where_both_showed_text() -> None:
    ours, theirs = typed(10, 20, 30), typed(50, 60, 400)
    theirs.keys[1].first_text = None
    assert at_common_keys({"a": ours, "b": theirs}) == [
        Quantiles(pytest.approx(10), pytest.approx(30)),  # type: ignore[arg-type]
        Quantiles(pytest.approx(50), pytest.approx(400)),  # type: ignore[arg-type]
    ]
    assert at_common_keys({"a": ours, "b": typed(10)}) == []
    assert at_common_keys({"a": ours}) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [((10, 20), (50, 400), ["hit"] * 4), ((41, 151), (50, 400), ["missed", "missed", "missed", "hit"])],
)
def test_targets_are_hit_or_missed(
    ours: tuple[float, float], theirs: tuple[float, float], words: list[str]
) -> None:
    summaries = {Ours.name: typed(*ours).summary, Llama.name: typed(*theirs).summary}
    assert [line.rsplit(" ", 1)[1] for line in verdicts(summaries)] == words
    assert len(verdicts({Ours.name: typed(*ours).summary})) == 2
    assert verdicts({Ours.name: typed().summary}) == ["no text was shown"]
