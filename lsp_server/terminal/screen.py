"""The screen of ``fimble try``, drawn with prompt_toolkit: layout, colours and key bindings."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Callable
from typing import Final

from prompt_toolkit.application import Application
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import (
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    ScrollOffsets,
    Window,
)
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import TextArea

from lsp_server.terminal.completer import Connect
from lsp_server.terminal.drawing import TextControl
from lsp_server.terminal.editor import Editor
from lsp_server.terminal.files import OpenFile
from lsp_server.terminal.status_line import server_problem, status_line

# Other keys' sequences begin with Esc too: it is the Esc key if nothing follows within this time.
_ESCAPE_SECONDS, _SEQUENCE_SECONDS = 0.05, 0.01

# Colours of the terminal's own palette, which are readable on its background.
_COLOURS: Final = {
    "status": "reverse",
    "key": "bold",
    "message": "bold",
    "ghost": "#808080",  # nearest to the "bright black" of 16 colours, which some themes make invisible
    "pygments.keyword": "ansimagenta",
    "pygments.literal.string": "ansigreen",
    "pygments.comment": "ansicyan",
    "pygments.name.decorator": "ansicyan",
    "pygments.name.function": "bold",
    "pygments.name.class": "bold",
}
_NO_COLOURS: Final = {"status": "reverse", "key": "bold", "message": "bold", "ghost": "underline"}

_HINTS: Final = (("Tab", "accept"), ("Ctrl-→", "word"), ("Esc", "dismiss"))
_ASK, _NEXT = ("Ctrl-Space", "ask"), ("Alt-]", "next")
_LAST_HINTS: Final = (("Ctrl-S", "save"), ("Ctrl-Q", "quit"))


class ScreenUnusable(Exception):
    """The terminal can't show a screen; the message says why."""


def edit(file: OpenFile, connect: Connect) -> None:
    """Edit `file` in the terminal, with completions from the server that `connect` starts.

    Raises:
        ScreenUnusable: the terminal can't show it.
    """
    asyncio.run(Screen(file, connect, _terminal()).run())


class Screen:
    """An editor on the terminal that `output` draws on."""

    def __init__(self, file: OpenFile, connect: Connect, output: Output) -> None:
        self.editor = Editor(file, connect, self._changed)
        self._text = TextControl(self.editor)
        self._name = TextArea(height=1, multiline=False, prompt="Save as: ", accept_handler=self._named)
        self._naming = False
        depth = ColorDepth.from_env() or output.get_default_color_depth()
        self._application: Application[None] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            style=Style.from_dict(_NO_COLOURS if depth == ColorDepth.DEPTH_1_BIT else _COLOURS),
            include_default_pygments_style=False,
            color_depth=depth,
            full_screen=True,
            mouse_support=True,
            output=output,
        )
        self._application.ttimeoutlen = _ESCAPE_SECONDS
        self._application.timeoutlen = _SEQUENCE_SECONDS

    async def run(self) -> None:
        """Edit until the user quits."""
        serving = asyncio.get_running_loop().create_task(self.editor.completer.run())
        try:
            await self._application.run_async()
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    def _changed(self) -> None:
        self._application.invalidate()

    def _layout(self) -> Layout:
        room_below = ScrollOffsets(
            top=1, bottom=lambda: min(1 + self._text.ghost_rows, self._text.height // 2)
        )
        naming = Condition(lambda: self._naming)
        text = Window(self._text, scroll_offsets=room_below, always_hide_cursor=naming)
        status = Window(FormattedTextControl(self._status), height=1, style="class:status")
        last_lines = Window(
            FormattedTextControl(self._last_lines),
            height=Dimension(min=1, max=3),
            wrap_lines=True,
            dont_extend_height=True,
        )
        return Layout(
            HSplit(
                [
                    text,
                    status,
                    ConditionalContainer(last_lines, ~naming),
                    ConditionalContainer(self._name, naming),
                ]
            ),
            focused_element=text,
        )

    def _status(self) -> str:
        editor = self.editor
        several = len(editor.candidates)
        return status_line(
            editor.file.name,
            editor.completer.state,
            editor.latencies,
            changed=editor.buffer.changed,
            candidate=f"{editor.candidate + 1} of {several}" if several > 1 and editor.ghost else "",
            width=self._application.output.get_size().columns,
        )

    def _last_lines(self) -> StyleAndTextTuples:
        message = self.editor.message or server_problem(self.editor.completer.state)
        if message:
            width = self._application.output.get_size().columns
            return [("class:message", textwrap.indent(textwrap.fill(message, max(width - 2, 1)), " "))]
        hints: StyleAndTextTuples = []
        for key, does in (*_HINTS, _NEXT if len(self.editor.candidates) > 1 else _ASK, *_LAST_HINTS):
            hints += [("", " "), ("class:key", key), ("", f" {does} ")]
        return hints

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        editor, buffer = self.editor, self.editor.buffer
        editing = Condition(lambda: not self._naming)

        def on(names: str, do: Callable[[], object]) -> None:
            """Bind keys to `do`; a plus joins the keys of one combination."""
            for name in names.split():

                def pressed(event: KeyPressEvent) -> None:
                    editor.key_pressed()
                    do()

                keys.add(*name.split("+"), filter=editing)(pressed)

        def moves(names: str, move: Callable[[], None]) -> None:
            on(names, lambda: editor.move(move))

        @keys.add(Keys.Any, filter=editing)
        def typed(event: KeyPressEvent) -> None:
            if not isinstance(event.key_sequence[-1].key, Keys) and event.data.isprintable():
                editor.key_pressed()
                editor.type(event.data)

        @keys.add(Keys.BracketedPaste, filter=editing)
        def pasted(event: KeyPressEvent) -> None:
            editor.key_pressed()
            editor.paste(event.data)

        @keys.add("c-q", filter=editing)
        @keys.add("c-c", filter=editing)
        def quits(event: KeyPressEvent) -> None:
            editor.key_pressed(quitting=True)
            if editor.may_quit():
                event.app.exit()

        @keys.add("escape", filter=~editing)
        @keys.add("c-c", filter=~editing)
        @keys.add("c-q", filter=~editing)
        def cancels_naming(event: KeyPressEvent) -> None:
            self._stop_naming()

        on("tab", editor.tab)
        on("c-right escape+right escape+f", editor.accept_word)
        on("escape", editor.dismiss)
        on("c-space escape+\\", editor.invoke)
        on("escape+]", lambda: editor.cycle(1))
        on("escape+[", lambda: editor.cycle(-1))
        on("enter c-j", editor.enter)
        on("backspace", editor.backspace)
        on("delete", editor.delete)
        on("c-z", editor.undo)
        on("c-y", editor.redo)
        on("c-s", self._save)
        on("f2", editor.toggle)
        on("f5", editor.completer.restart)
        moves("left", buffer.move_left)
        moves("right", buffer.move_right)
        moves("c-left escape+left escape+b", buffer.move_word_left)
        moves("up", lambda: buffer.move_vertically(-1))
        moves("down", lambda: buffer.move_vertically(1))
        moves("pageup", lambda: buffer.move_vertically(1 - self._text.height))
        moves("pagedown", lambda: buffer.move_vertically(self._text.height - 1))
        moves("home c-a", buffer.move_home)
        moves("end c-e", buffer.move_end)
        moves("c-home", lambda: buffer.move_vertically(-buffer.line_count))
        moves("c-end", lambda: buffer.move_vertically(buffer.line_count))
        return keys

    def _save(self) -> None:
        if self.editor.file.path is not None:
            self.editor.save()
            return
        self._naming = True
        self._name.text = ""
        self._application.layout.focus(self._name)

    def _named(self, _: object) -> bool:
        name = self._name.text.strip()
        self._stop_naming()
        if name:
            self.editor.save_as(name)
        return False

    def _stop_naming(self) -> None:
        self._naming = False
        self._application.layout.focus_last()


def _terminal() -> Output:
    if sys.platform == "win32":
        from prompt_toolkit.output.win32 import NoConsoleScreenBufferError

        try:
            return create_output()
        except NoConsoleScreenBufferError:
            raise ScreenUnusable(
                "this is not a Windows console: run it in Windows Terminal or cmd.exe"
            ) from None
    return create_output()
