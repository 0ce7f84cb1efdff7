"""The table of languages: ids, file names, comments and strings, and families.

Ids are those of LSP's `TextDocumentItem.languageId` or, if it has none, those of VS Code and its extensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final


@dataclass(frozen=True)
class Marks:
    """How a language writes comments and strings.

    `comment` begins a line comment, `block` has the marks around a block comment; `quotes` are those of
    single-line strings, `long_quotes` those of multi-line strings.
    """

    comment: str = ""
    block: tuple[str, str] | None = None
    quotes: tuple[str, ...] = ('"', "'")
    long_quotes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Language:
    """A language that files are written in.

    Args:
        id: the LSP id.
        suffixes: file name suffixes in lower case, separated by blanks, as in the next three.
        names: whole file names.
        interpreters: programs named in a `#!` line.
        aliases: other ids that some editors use.
        marks: how it writes comments and strings; None if unknown.
        family: code of the same family may be context for a completion; "" for a family of its own.
        typed_functions: a function begins with its type instead of a keyword, as in C.
    """

    id: str
    suffixes: str = ""
    names: str = ""
    interpreters: str = ""
    aliases: str = ""
    marks: Marks | None = None
    family: str = ""
    typed_functions: bool = False


_HASH: Final = Marks(comment="#")
_DASHES: Final = Marks(comment="--")
_SEMICOLON: Final = Marks(comment=";", quotes=('"',))
_SLASHES: Final = Marks(comment="//", block=("/*", "*/"))
_SCRIPT: Final = Marks(comment="//", block=("/*", "*/"), long_quotes=("`",))
_PYTHON: Final = Marks(comment="#", long_quotes=('"""', "'''"))

_RUBY_FILES: Final = "Gemfile Rakefile Guardfile Capfile Podfile Brewfile Fastfile Vagrantfile .irbrc"
_SHELL_FILES: Final = (
    ".bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .kshrc .envrc PKGBUILD APKBUILD "
    ".zshrc .zshenv .zprofile .zlogin .zlogout"
)
_SETTINGS_FILES: Final = ".editorconfig .gitconfig .gitmodules .gitattributes .npmrc"

# fmt: off
LANGUAGES: Final = (
    Language("abap", ".abap"),
    Language("bat", ".bat .cmd"),
    Language("bibtex", ".bib"),
    Language("c", ".c", marks=_SLASHES, family="c", typed_functions=True),
    Language("clojure", ".clj .cljs .cljc .edn", interpreters="bb clojure", marks=_SEMICOLON),
    Language("cmake", ".cmake", "CMakeLists.txt"),
    Language("coffeescript", ".coffee", "Cakefile", "coffee"),
    # Headers too, even C's, as in VS Code and Neovim.
    Language("cpp", ".cpp .cc .cxx .c++ .cppm .ixx .h .hpp .hh .hxx .h++ .inl .ipp .tpp .ino",
             marks=_SLASHES, family="c", typed_functions=True),
    Language("crystal", ".cr", interpreters="crystal"),
    Language("csharp", ".cs .csx", marks=_SLASHES, typed_functions=True),
    Language("css", ".css", marks=_SLASHES, family="css"),
    Language("cuda-cpp", ".cu .cuh", family="c", typed_functions=True),
    Language("d", ".d", interpreters="rdmd"),
    Language("dart", ".dart", interpreters="dart", marks=_SLASHES, typed_functions=True),
    Language("diff", ".diff .patch .rej"),
    Language("dockerfile", ".dockerfile .containerfile", "Dockerfile Containerfile"),
    Language("elixir", ".ex .exs", "mix.lock", "elixir", marks=_HASH),
    Language("elm", ".elm"),
    Language("erlang", ".erl .hrl", "rebar.config", "escript"),
    Language("fish", ".fish", interpreters="fish"),
    Language("fsharp", ".fs .fsi .fsx"),
    Language("git-commit", names="COMMIT_EDITMSG MERGE_MSG"),
    Language("git-rebase", names="git-rebase-todo"),
    Language("go", ".go", marks=_SCRIPT),
    Language("graphql", ".graphql .gql"),
    Language("groovy", ".groovy .gvy .gradle", "Jenkinsfile", "groovy",
             marks=_SLASHES, family="jvm", typed_functions=True),
    Language("handlebars", ".handlebars .hbs"),
    Language("haskell", ".hs .lhs", interpreters="runghc runhaskell", marks=_DASHES),
    Language("hlsl", ".hlsl .hlsli"),
    Language("html", ".html .htm .xhtml"),
    Language("ignore", names=".gitignore .dockerignore .npmignore"),
    Language("ini", ".ini"),
    Language("jade", ".jade .pug"),
    Language("java", ".java", marks=_SLASHES, family="jvm", typed_functions=True),
    Language("javascript", ".js .mjs .cjs .es6", "Jakefile", "node", marks=_SCRIPT, family="javascript"),
    Language("javascriptreact", ".jsx", marks=_SCRIPT, family="javascript"),
    Language("json", ".json .webmanifest", "Pipfile.lock composer.lock"),
    Language("jsonc", ".jsonc .code-workspace", "tsconfig.json jsconfig.json .eslintrc", marks=_SLASHES),
    Language("jsonl", ".jsonl .ndjson"),
    Language("julia", ".jl", interpreters="julia", marks=_HASH),
    Language("kotlin", ".kt .kts", interpreters="kotlin", marks=_SLASHES, family="jvm"),
    Language("latex", ".tex .ltx"),
    Language("less", ".less", marks=_SLASHES, family="css"),
    Language("lisp", ".lisp .lsp .el", ".emacs", "sbcl clisp", marks=_SEMICOLON),
    Language("lua", ".lua .rockspec", interpreters="lua luajit", marks=_DASHES),
    Language("makefile", ".mk .mak .make", "Makefile makefile GNUmakefile Kbuild", "make", marks=_HASH),
    Language("markdown", ".md .markdown"),
    Language("nim", ".nim .nims", interpreters="nim"),
    Language("nix", ".nix"),
    Language("objective-c", ".m", marks=_SLASHES, family="c", typed_functions=True),
    Language("objective-cpp", ".mm", family="c", typed_functions=True),
    Language("ocaml", ".ml .mli", interpreters="ocaml"),
    Language("pascal", ".pas .dpr .lpr"),
    Language("perl", ".pl .pm .t .psgi", "cpanfile", "perl", marks=_HASH),
    Language("perl6", ".raku .rakumod .rakutest .p6 .pm6", interpreters="raku perl6"),
    Language("php", ".php .phtml", interpreters="php", marks=_SLASHES),
    Language("plaintext", ".txt .text .log"),
    Language("powershell", ".ps1 .psm1 .psd1", interpreters="pwsh powershell"),
    Language("properties", ".properties .cfg .conf", _SETTINGS_FILES),
    Language("proto", ".proto", marks=_SLASHES),
    Language("python", ".py .pyi .pyw .ipy", "SConstruct SConscript wscript", "python pypy ipython uv",
             marks=_PYTHON),
    Language("r", ".r", ".Rprofile", "Rscript", marks=_HASH),
    Language("razor", ".cshtml .razor"),
    Language("restructuredtext", ".rst"),
    Language("ruby", ".rb .rake .gemspec .podspec .ru", _RUBY_FILES, "ruby jruby", marks=_HASH),
    Language("rust", ".rs", interpreters="rust-script", marks=_SLASHES),
    Language("sass", ".sass", family="css"),
    Language("scala", ".scala .sc .sbt", interpreters="scala scala-cli", marks=_SLASHES, family="jvm"),
    Language("scheme", ".scm .ss .sld", interpreters="guile", marks=_SEMICOLON),
    Language("scss", ".scss", marks=_SLASHES, family="css"),
    Language("shaderlab", ".shader"),
    Language("shellscript", ".sh .bash .zsh .ksh .bats .ebuild", _SHELL_FILES,
             "sh bash zsh dash ash ksh bats", aliases="bash sh zsh", marks=_HASH, family="shell"),
    Language("sql", ".sql", marks=_DASHES),
    Language("starlark", ".bzl .star", "BUILD BUILD.bazel WORKSPACE MODULE.bazel Tiltfile"),
    Language("svelte", ".svelte", family="javascript"),
    Language("swift", ".swift", interpreters="swift", marks=_SLASHES),
    Language("terraform", ".tf .tfvars"),
    Language("tex", ".sty .cls"),
    Language("toml", ".toml", "Pipfile Cargo.lock poetry.lock uv.lock", marks=_HASH),
    Language("typescript", ".ts .mts .cts", interpreters="deno bun ts-node tsx",
             marks=_SCRIPT, family="javascript"),
    Language("typescriptreact", ".tsx", marks=_SCRIPT, family="javascript"),
    Language("vb", ".vb .bas .vbs"),
    Language("vue", ".vue", family="javascript"),
    Language("xml", ".xml .xsd .svg .plist .csproj"),
    Language("xsl", ".xsl .xslt"),
    Language("yaml", ".yaml .yml", ".clang-format .clang-tidy .clangd", marks=_HASH),
    Language("zig", ".zig .zon", marks=_SLASHES),
)
# fmt: on

_BY_NAME: Final = {name: one.id for one in LANGUAGES for name in one.names.split()}
_BY_SUFFIX: Final = {suffix: one.id for one in LANGUAGES for suffix in one.suffixes.split()}
_BY_INTERPRETER: Final = {program: one.id for one in LANGUAGES for program in one.interpreters.split()}
_FAMILIES: Final = {
    spelling: one.family for one in LANGUAGES if one.family for spelling in (one.id, *one.aliases.split())
}


def language_of(name: str, text: str = "") -> str:
    """The language id of the file `name`, by its name or the `#!` line of its `text`; "" if unknown."""
    path = PurePath(name)
    return _BY_NAME.get(path.name) or _BY_SUFFIX.get(path.suffix.lower()) or _of_script(text)


def family_of(language: str) -> str:
    """The family of a language by its id; code of one family may be context for each other."""
    return _FAMILIES.get(language, language)


def _of_script(text: str) -> str:
    """The language id by the first line of a script, such as ``#!/usr/bin/env -S python3 -u``."""
    line = text.partition("\n")[0]
    words = [word.rpartition("/")[2] for word in line.removeprefix("#!").split()]
    programs = (word for word in words if word != "env" and not word.startswith("-") and "=" not in word)
    program = next(programs, "") if line.startswith("#!") else ""
    return _BY_INTERPRETER.get(program.rstrip("0123456789."), "")
