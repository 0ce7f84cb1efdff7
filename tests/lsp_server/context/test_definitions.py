"""Definitions, found by the look of a line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.context.definitions import defined_name, definition_length, words


@pytest.mark.parametrize(
    ("language", "line", "name"),
    [
        ("python", "def price(total: int) -> int:", "price"),
        ("python", "    async def fetch(self):", "fetch"),
        ("python", "class Basket(dict[str, int]):", "Basket"),
        ("python", "TAX_RATE: float = 0.19", "TAX_RATE"),
        ("javascript", "export default async function* load(url) {", "load"),
        ("typescript", "export const handler = async () => {", "handler"),
        ("typescript", "declare interface Options {", "Options"),
        ("go", "func (s *Server) Listen(port int) error {", "Listen"),
        ("go", "type Server struct {", "Server"),
        ("rust", "pub(crate) fn parse(input: &str) -> Result<()> {", "parse"),
        ("rust", "macro_rules! square {", "square"),
        ("rust", "pub static mut COUNTER: u32 = 0;", "COUNTER"),
        ("java", "public static class Node {", "Node"),
        ("java", "    public static final List<String> names(int count) {", "names"),
        ("c", "static int *find_node(const char *key)", "find_node"),
        ("cpp", "std::string Parser::next_token() {", "next_token"),
        ("cpp", "enum class Colour { Red };", "Colour"),
        ("c", "#define BUFFER_SIZE 4096", "BUFFER_SIZE"),
        ("ruby", "  def total_price", "total_price"),
        ("lua", "local function helper(a)", "helper"),
        ("swift", "public func render() {", "render"),
        ("kotlin", "override fun toRecord(): Record {", "toRecord"),
    ],
)
def test_a_definition_is_known_by_its_line(language: str, line: str, name: str) -> None:
    assert defined_name(line, language) == name


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("python", ""),
        ("python", "    total = price(3)"),
        ("python", "    return price(3)"),
        ("python", "price(3)"),
        ("python", "# def price(total):"),
        ("python", "    def __init__(self):"),
        ("python", "x == 3"),
        ("java", "    return new Basket(3) {"),
        ("java", "    else if (ready(3)) {"),
        ("c", "    printf(text);"),
        ("c", "    static int count = 0;"),
        ("c", "int find_node(const char *key);"),
    ],
)
def test_other_lines_are_none(language: str, line: str) -> None:
    assert defined_name(line, language) is None


@pytest.mark.parametrize("piece", ["a ", "a::", "*& ", "pub ", "static ", "(", "a.b", "<a,", "x: "])
def test_no_line_takes_long(piece: str) -> None:
    started = time.thread_time()
    for language in ("cpp", "python", "rust"):
        for end in ("", "(", "(;", "=", "!"):
            defined_name((piece * 100_000)[:300] + end, language)
            defined_name("static " + piece * 100_000 + end, language)
    assert time.thread_time() - started < 0.5


@given(st.text(), st.sampled_from(["", "c", "python"]))
def test_any_line_can_be_looked_at(line: str, language: str) -> None:
    name = defined_name(line, language)
    assert name is None or name in line


def test_a_definition_ends_where_the_indentation_does() -> None:
    lines = ["def a(", "    b,", "):", "", "    return b", "", "def c():", "    pass"]
    assert definition_length(lines) == 5
    assert definition_length(lines[6:]) == 2
    assert definition_length(["x = 1"]) == 1


def test_words_are_names_of_two_letters_or_more() -> None:
    assert list(words("if a1 == größe:\n  x_y = 12")) == ["if", "a1", "größe", "x_y"]
