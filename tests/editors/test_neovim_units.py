"""The plugin's parts that are pure Lua, its help and its command line."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.editors.neovim import PLUGIN, ROOT, SERVER, lua_list

pytestmark = pytest.mark.editors


def run(nvim: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Neovim without a screen, and without what the user has configured."""
    command = [str(nvim), "--clean", "--headless", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30, check=False)


def test_the_unit_tests_in_lua_pass(nvim: Path) -> None:
    done = run(nvim, "-l", str(PLUGIN / "tests" / "run.lua"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_lies_in_the_folder_that_is_edited_is_not_run_as_the_server(nvim: Path, tmp_path: Path) -> None:
    init, ran, folder = tmp_path / "init.lua", tmp_path / "ran", tmp_path / "edited"
    folder.mkdir()
    for name in ("lsp_server", "json", "pkgutil"):
        (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    init.write_text(
        f"vim.opt.runtimepath:prepend(\"{PLUGIN}\")\nrequire('fimble').setup {{ cmd = {lua_list(SERVER)} }}\n"
    )
    look = (
        "local server, version = require('fimble').app().server "
        "require('fimble.commands').fimble(server, { '--version' }, function(said) version = said end) "
        "vim.wait(20000, function() return version and (server:client() or {}).initialized end) "
        "io.stdout:write(version, tostring(server:client().initialized))"
    )
    command = [
        str(nvim),
        "--clean",
        "--headless",
        "-u",
        str(init),
        "a.py",
        "-c",
        f"lua {look}",
        "-c",
        "qall!",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert not ran.exists()
    assert re.fullmatch(r"fimble [0-9.]+\s+true", done.stdout), done.stderr


def test_the_help_is_found(nvim: Path, tmp_path: Path) -> None:
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc" / "fimble.txt").write_bytes((PLUGIN / "doc" / "fimble.txt").read_bytes())
    tags = ("fimble", ":Fimble", "fimble-options", "fimble-keymaps", "fimble.accept()", "fimble-native")
    steps = [f"helptags {tmp_path}/doc", f"set rtp^={tmp_path}", *(f"help {tag}" for tag in tags), "qall!"]
    done = run(nvim, *(word for step in steps for word in ("-c", step)))
    assert done.stderr == ""


def test_a_package_in_a_folder_for_packages_is_loaded(nvim: Path, tmp_path: Path) -> None:
    packages = tmp_path / "site" / "pack" / "fimble" / "start"
    packages.mkdir(parents=True)
    (packages / "fimble").symlink_to(PLUGIN)
    init = tmp_path / "init.lua"
    init.write_text(f'vim.opt.packpath:prepend("{tmp_path}/site")\n')
    look = "io.stdout:write(vim.fn.exists(':Fimble') .. require('fimble').statusline())"
    done = run(nvim, "-u", str(init), "-c", f"lua {look}", "-c", "qall!")
    assert (done.stdout, done.stderr) == ("2", "")


def test_the_package_manager_of_neovim_installs_it(nvim: Path, tmp_path: Path) -> None:
    if "NVIM v0.11" in run(nvim, "--version").stdout:
        pytest.skip("Neovim 0.11 has no vim.pack")
    repository = tmp_path / "repository"
    inner = repository / "editor_clients" / "neovim"
    inner.parent.mkdir(parents=True)
    inner.symlink_to(PLUGIN)
    for step in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *step], cwd=repository, check=True, timeout=30)
    init = tmp_path / "init.lua"
    init.write_text(
        f"local source = {{ src = 'file://{repository}', name = 'fimble' }}\n"
        "vim.pack.add({ source }, { confirm = false, load = function(plugin)\n"
        "  vim.opt.runtimepath:append(plugin.path .. '/editor_clients/neovim')\n"
        "end })\n"
        "require('fimble').setup { cmd = { 'true', 'serve' } }\n"
        "io.stdout:write(vim.fn.exists(':Fimble') .. require('fimble').statusline())\n"
    )
    environment = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    done = subprocess.run(
        [
            "env",
            *(f"{name}={value}" for name, value in environment.items()),
            str(nvim),
            "-u",
            str(init),
            "--headless",
            "-c",
            "qall!",
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert "2fimble –" in done.stdout, done.stderr
