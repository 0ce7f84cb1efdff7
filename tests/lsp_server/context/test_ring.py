"""The ring of chunks."""

from __future__ import annotations

from lsp_server.context.ring import (
    EXCERPT_LINES,
    RING_SIZE,
    Chunk,
    Excerpt,
    Ring,
    similarity,
)


def chunk(name: str, uri: str = "file:///a.py", lines: int = 40) -> Chunk:
    made = Chunk.take(uri, "a.py", [f"{name}_{number} = {number}" for number in range(lines)])
    assert made is not None
    return made


def test_the_ring_holds_the_newest_chunks() -> None:
    ring = Ring()
    chunks = [chunk(f"n{number}") for number in range(RING_SIZE + 5)]
    for one in chunks:
        ring.add(one)
    assert list(ring) == chunks[:4:-1]


def test_a_chunk_takes_the_place_of_one_that_is_like_it() -> None:
    ring = Ring()
    first, other = chunk("a"), chunk("b")
    again = chunk("a", lines=41)
    for one in (first, other, again):
        ring.add(one)
    assert list(ring) == [again, other]


def test_chunks_that_differ_in_more_than_a_little_both_stay() -> None:
    ring = Ring()
    for one in (chunk("a", lines=40), chunk("a", lines=52)):
        ring.add(one)
    assert len(ring) == 2


def test_a_document_is_forgotten() -> None:
    ring = Ring()
    ring.add(chunk("a"))
    ring.add(chunk("b", uri="file:///b.py"))
    ring.forget("file:///a.py")
    assert [one.uri for one in ring] == ["file:///b.py"]


def test_a_chunk_is_cut_into_excerpts() -> None:
    made = chunk("a", lines=2 * EXCERPT_LINES + 3)
    assert [excerpt.text.count("\n") + 1 for excerpt in made.excerpts] == [EXCERPT_LINES, EXCERPT_LINES, 3]
    assert "\n".join(excerpt.text for excerpt in made.excerpts).split("\n")[-1].startswith("a_")


def test_brackets_and_a_single_line_make_no_excerpt() -> None:
    assert Excerpt.take("u", "p", ["", "    }", "  x = 1", ")"]) is None
    assert Chunk.take("u", "p", []) is None


def test_an_excerpt_is_text_that_a_model_can_read() -> None:
    excerpt = Excerpt.take("u", "p", ["", "a = '\ud83d'  ", "b = 'ü😀'", ""])
    assert excerpt is not None
    assert excerpt.text == "a = '?'\nb = 'ü😀'"


def test_similarity_goes_from_nothing_to_everything() -> None:
    assert similarity(frozenset("ab"), frozenset("cd")) == 0
    assert similarity(frozenset("ab"), frozenset("ab")) == 1
    assert similarity(frozenset("ab"), frozenset("bc")) == 0.5
