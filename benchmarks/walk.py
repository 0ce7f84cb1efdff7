"""The walk of one completion through the code: which files and rooms it visits.

    python -m benchmarks.walk [--files]

A server in a child process is asked for one inline completion after its model is ready. A profile hook in
all of its threads records which of our functions call which, from the request to its answer. POSIX only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from benchmarks.processes import ROOT

TEXT = "import json\n\n\ndef load(path):\n    with open(path) as file:\n        return json.\n"
URI, OTHER = "file:///walk/a.py", "file:///walk/b.py"
SERVE = "import sys; from benchmarks.walk import serve; serve(sys.argv[1])"


def our_file(frame: FrameType) -> str | None:
    """The path of a frame's file in `lsp_server` or `model_runtime`, or None."""
    name = frame.f_code.co_filename
    path = name.removeprefix(f"{ROOT}/")
    return path if path != name and path.startswith(("lsp_server/", "model_runtime/")) else None


def serve(out: str) -> None:
    """Run `fimble serve`; record calls between SIGUSR1 and SIGUSR2, and write them to the file `out`."""
    files: set[str] = set()
    calls: set[tuple[str, str, str, str]] = set()
    recording = threading.Event()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not recording.is_set() or (callee := our_file(frame)) is None:
            return
        files.add(callee)
        caller = frame.f_back
        while caller is not None and our_file(caller) is None:
            caller = caller.f_back
        if caller is not None and (source := our_file(caller)) != callee:
            calls.add((str(source), caller.f_code.co_name, callee, frame.f_code.co_name))

    def stop(*_: object) -> None:
        recording.clear()
        Path(out).write_text(json.dumps([sorted(files), sorted(calls)]), encoding="utf-8")

    signal.signal(signal.SIGUSR1, lambda *_: recording.set())
    signal.signal(signal.SIGUSR2, stop)
    threading.setprofile(profile)
    sys.setprofile(profile)
    from lsp_server.cli import main

    sys.exit(main(["serve"]))


async def complete(out: Path) -> None:
    """Start the server and have it complete once; it writes what it records to `out`."""
    from lsp_server.client import Connection

    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-c", SERVE, str(out)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    server = Connection(process.stdout, process.stdin.write)
    ready = asyncio.Event()
    server.on_notification("window/logMessage", lambda _: ready.set())
    await server.initialize({"textDocument": {"inlineCompletion": {}}})
    for uri, text in ((URI, TEXT), (OTHER, TEXT.replace("load", "read"))):
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        server.notify("textDocument/didOpen", {"textDocument": document})
    await ready.wait()
    process.send_signal(signal.SIGUSR1)
    await server.ask(
        "textDocument/inlineCompletion",
        {
            "textDocument": {"uri": URI},
            "position": {"line": 5, "character": 20},
            "context": {"triggerKind": 2},
        },
    )
    process.send_signal(signal.SIGUSR2)
    await server.ask("shutdown", None)
    server.notify("exit", None)
    await process.wait()
    await server.stop()


def room_of(file: str) -> str:
    """A folder of a package, or a file that lies directly in it."""
    return "/".join(file.split("/")[:2])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", action="store_true", help="list the files as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "calls.json"
        asyncio.run(complete(out))
        files, calls = json.loads(out.read_text(encoding="utf-8"))
    lines = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files}
    moves = [call for call in calls if room_of(call[0]) != room_of(call[2])]
    rooms = {room_of(file) for file in files}
    print(f"{len(files)} files with {sum(lines.values()):,} lines in {len(rooms)} rooms")
    print(f"{len(calls)} different calls from file to file, {len(moves)} of them from room to room")
    if options.files:
        print("\n".join(f"{count:5} {file}" for file, count in lines.items()))


if __name__ == "__main__":
    main()
