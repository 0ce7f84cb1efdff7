# `make demo` shows what fimble does, `make test` runs the tests, `make check` is the whole gate.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
LIBRARY_SUFFIX := dll
else
BIN := $(VENV)/bin
LIBRARY_SUFFIX := $(if $(filter Darwin,$(shell uname -s)),dylib,so)
endif
NATIVE := model_runtime/native/fimble_native.$(LIBRARY_SUFFIX)
NATIVE_SOURCES := $(wildcard model_runtime/native/src/*.cpp model_runtime/native/src/*.h)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
STAMP = $(BIN)/python -c "import pathlib; pathlib.Path('$@').touch()"

.PHONY: demo native test test-native-sanitized lint types check clean
.PHONY: check-neovim check-vscode latency-vscode pictures-vscode
.PHONY: test-editors test-editors-neovim test-editors-popups test-editors-copilot test-editors-vscode

demo: $(VENV)/runtime.stamp
	@$(BIN)/python editor_clients/terminal_demo.py

# The native engine, compiled anew if a source has changed. Without a compiler this warns, and the tests go without it.
native: $(NATIVE)

$(NATIVE): $(NATIVE_SOURCES) $(wildcard native_build/*.py) | $(VENV)/dev.stamp
	$(BIN)/python -m native_build

test: $(VENV)/dev.stamp native
	$(BIN)/python -m pytest

# Its tests under GCC's address and undefined behaviour sanitizers, on Linux. Python is compiled without, so their
# runtime is loaded before all else; C++'s too, whose exceptions it watches. Python allocates through malloc, so that
# its buffers are watched; it does not free them all at its end, so leaks are not looked for.
SANITIZED := $(abspath build/native/fimble_native.$(LIBRARY_SUFFIX))
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1
test-native-sanitized: $(VENV)/dev.stamp
	CXX="$(CXX)" FIMBLE_NATIVE=required FIMBLE_NATIVE_FLAGS="$(SANITIZERS)" \
		$(BIN)/python -m native_build --output $(SANITIZED)
	FIMBLE_NATIVE_LIBRARY=$(SANITIZED) PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
		UBSAN_OPTIONS=print_stacktrace=1 \
		LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
		$(BIN)/python -m pytest --capture=sys tests/model_runtime/native

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

check: lint types test

# The Neovim plugin's Lua: format, lint, types. What checks them is brought into build/editors, or skipped.
check-neovim: $(VENV)/dev.stamp
	$(BIN)/python -m tests.editors.check_neovim

# The VS Code extension has a gate of its own: lint, types, tests, bundle. Python is enough for all else.
check-vscode:
	cd editor_clients/vscode && npm ci --no-audit --no-fund --loglevel=error && npm run check

# In real editors, which are brought into build/editors; one that cannot be had is skipped with a line that says why.
test-editors: test-editors-neovim test-editors-popups test-editors-copilot test-editors-vscode

test-editors-neovim: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m editors -r fE -k neovim tests/editors

# Helix and Emacs.
test-editors-popups: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m editors -r fE -k popups tests/editors

# Copilot's clients, whose sources FIMBLE_COPILOT_LUA and FIMBLE_COPILOT_EL name.
test-editors-copilot: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m editors -r fE -k copilot tests/editors

test-editors-vscode: $(VENV)/dev.stamp
	@tests/editors/vscode/run.sh scenarios

latency-vscode: $(VENV)/dev.stamp
	@tests/editors/vscode/run.sh latency

pictures-vscode: $(VENV)/dev.stamp
	@tests/editors/vscode/run.sh pictures

clean:
	$(PYTHON) -c "import shutil; shutil.rmtree('$(VENV)', ignore_errors=True)"

$(VENV)/runtime.stamp: pyproject.toml constraints.txt
	@echo "Installing fimble into $(VENV); torch is the largest part of it, so the first time takes minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable .
	@$(STAMP)

$(VENV)/dev.stamp: $(VENV)/runtime.stamp
	@$(INSTALL) --editable ".[dev]"
	@$(STAMP)
