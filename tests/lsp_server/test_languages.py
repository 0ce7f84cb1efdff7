"""The table of languages: files are known by their names, ids are those that editors send."""

from __future__ import annotations

import pytest
from lsprotocol.types import LanguageKind

from lsp_server.languages import LANGUAGES, family_of, language_of
from lsp_server.trimming.syntax import syntax_of

IDS = {language.id for language in LANGUAGES}

COMMENTS = {
    "#": ("a.py a.rb a.sh a.pl a.R a.yaml a.yml a.toml Makefile a.mk a.exs a.jl .bashrc Gemfile Cargo.lock"),
    "//": (
        "a.js a.jsx a.ts a.tsx a.go a.c a.h a.cpp a.cs a.java a.kt a.scala a.swift a.dart a.php a.rs a.m "
        "a.gradle a.zig a.css a.scss a.less a.jsonc tsconfig.json a.proto"
    ),
    "--": "a.sql a.lua a.hs",
    ";": "a.lisp a.clj a.scm",
}


@pytest.mark.parametrize(
    ("name", "comment"), [(name, comment) for comment, names in COMMENTS.items() for name in names.split()]
)
def test_in_a_file_of_that_name_brackets_in_comments_are_not_counted(name: str, comment: str) -> None:
    assert syntax_of(language_of(name)).scan(f"f( {comment} :)\n").state.opened == 1


def test_every_language_that_trimming_knows_has_files() -> None:
    known = {language.id for language in LANGUAGES if language.marks is not None}
    assert known == {language_of(name) for names in COMMENTS.values() for name in names.split()}


def test_ids_are_spelled_as_lsp_does() -> None:
    theirs = {kind.value for kind in LanguageKind}
    assert theirs - IDS == {"rebase"}  # of lsprotocol alone: the specification has git-rebase
    assert "git-rebase" in IDS
    assert {"cuda-cpp", "jsonc", "plaintext"} <= IDS  # VS Code's own


@pytest.mark.parametrize("field", ["id", "suffixes", "names", "interpreters", "aliases"])
def test_nothing_stands_for_two_languages(field: str) -> None:
    words = [word for language in LANGUAGES for word in getattr(language, field).split()]
    assert sorted(words) == sorted(set(words))
    assert field != "suffixes" or all(word == word.lower() and word.startswith(".") for word in words)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("src/app.min.js", "javascript"),
        ("C:\\work\\MAIN.PY", "python"),
        ("kernel.cu", "cuda-cpp"),
        ("Dockerfile", "dockerfile"),
        ("cmake/CMakeLists.txt", "cmake"),
        ("notes.txt", "plaintext"),
        ("build", ""),  # a script of any kind; Bazel's is BUILD
        ("LICENSE", ""),
        ("a.", ""),
        ("", ""),
    ],
)
def test_a_file_is_known_by_its_whole_name_or_its_ending(name: str, language: str) -> None:
    assert language_of(name) == language


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("#!/bin/sh", "shellscript"),
        ("#! /bin/bash -e\r", "shellscript"),
        ("#!/usr/bin/env python3", "python"),
        ("#!/usr/local/bin/python3.13", "python"),
        ("#!/usr/bin/env -S LANG=C node --enable-source-maps", "javascript"),
        ("#!/usr/bin/env", ""),
        ("#!", ""),
        ("# !/bin/sh", ""),
        ("", ""),
    ],
)
def test_a_script_is_known_by_its_first_line(line: str, language: str) -> None:
    assert language_of("run", f"{line}\nsecond line\n") == language
    assert language_of("run.rb", f"{line}\n") == "ruby"  # its name says more


def test_languages_of_a_family_are_shown_to_each_other_and_others_to_their_own() -> None:
    assert family_of("typescript") == family_of("javascriptreact") == family_of("vue")
    assert family_of("sh") == family_of("shellscript")  # as some editors call it
    assert len({family_of(each) for each in ("javascript", "css", "c", "java", "python", "my-own")}) == 6
