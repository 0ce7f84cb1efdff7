from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from model_runtime.evaluation import SourceFile
from model_runtime.training import Mixture, draw_examples
from model_runtime.training.examples import make_example, windows
from tests.model_runtime.training.source_code import module

MIXTURE = Mixture()
SOURCE = st.text(alphabet=st.sampled_from("ab (:)\t\n\n    é🎉"), max_size=400)


@given(text=SOURCE, seed=st.integers(0, 2**32))
def test_the_three_parts_of_an_example_are_the_window(text: str, seed: int) -> None:
    example = make_example(text, MIXTURE, Random(seed))
    whole = example.prefix + example.middle + example.suffix
    assert whole == text or (text.startswith(whole) and not example.suffix)


@given(text=SOURCE, seed=st.integers(0, 2**32))
def test_snippets_of_other_files_precede_the_window(text: str, seed: int) -> None:
    others = [("a/b.py", module(1)), ("c.py", module(2))]
    example = make_example(text, MIXTURE, Random(seed), others)
    alone = make_example(text, MIXTURE, Random(seed))
    assert example.middle == alone.middle
    assert example.prefix.endswith(alone.prefix)
    added = example.prefix.removesuffix(alone.prefix)
    assert not added or added.startswith(("# a/b.py\n", "# c.py\n"))


def test_some_examples_have_no_suffix_and_some_have_snippets() -> None:
    random = Random(0)
    made = [make_example(module(1), MIXTURE, random, [("a.py", module(2))]) for _ in range(400)]
    filled = [example for example in made if example.layout != "plain"]
    assert 20 < sum(not example.suffix for example in filled) < 120
    assert 20 < sum(example.prefix.startswith("# a.py\n") for example in filled) < 120


@given(seed=st.integers(0, 2**32))
def test_windows_are_whole_lines_and_add_up_to_the_file(seed: int) -> None:
    text = module(3, functions=60)
    cut = list(windows(text, 2000, Random(seed)))
    assert "".join(cut) == text
    assert all(window.endswith("\n") for window in cut)
    assert max(map(len, cut)) <= 2000


def test_a_line_longer_than_a_window_stays_whole() -> None:
    text = "x = 1\n" + "y" * 5000 + "\nz = 2\n"
    assert "".join(windows(text, 2000, Random(0))) == text


def test_both_layouts_and_plain_text_are_drawn() -> None:
    random = Random(0)
    layouts = [make_example(module(1), MIXTURE, random).layout for _ in range(300)]
    assert {layout: layouts.count(layout) > 15 for layout in ("plain", "psm", "spm")} == {
        "plain": True,
        "psm": True,
        "spm": True,
    }


def test_the_share_of_a_layout_can_be_chosen() -> None:
    random = Random(0)
    layouts = [make_example(module(1), Mixture(psm=0.1), random).layout for _ in range(400)]
    assert 10 < layouts.count("psm") < 70 < 250 < layouts.count("spm")


def test_snippets_come_from_files_of_the_same_package() -> None:
    files = [
        SourceFile(package, f"{package}/{seed}.py", module(seed).replace("compute", package))
        for package in ("salad", "soup")
        for seed in range(4)
    ]
    drawn = list(draw_examples(files, 1024, Mixture(fim=1.0, snippets=1.0), Random(0)))
    texts = [example.prefix + example.middle + example.suffix for example in drawn]
    assert sum(text.startswith("# s") for text in texts) > 4
    assert not any("salad" in text and "soup" in text for text in texts)
