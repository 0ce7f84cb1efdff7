"""llama.cpp's server as a child process, and HTTP to it over the loopback interface."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

STARTING = 120.0
"""Seconds that a server may take to start."""

ANSWERING = 300.0


class LlamaServer:
    """A running server.

    Args:
        binary: llama-server.
        model: a GGUF file.
        threads: for prompts and for tokens.
        options: further command-line options.

    Raises:
        RuntimeError: it does not start; the message has the last lines of its output.
    """

    def __init__(self, binary: Path, model: Path, threads: int, options: Sequence[str] = ()) -> None:
        self.port = _free_port()
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        counts = ("-t", str(threads), "-tb", str(threads))
        self._child = subprocess.Popen(
            [
                str(binary),
                "-m",
                str(model),
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                *counts,
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.process = psutil.Process(self._child.pid)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def get(self, path: str) -> Any:
        """The server's response at `path`, parsed from JSON."""
        return self._request("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The server's response to `body`.

        Raises:
            RuntimeError: the server reports an error.
        """
        answer: dict[str, Any] = self._request("POST", path, json.dumps(body))
        if "error" in answer:
            raise RuntimeError(f"llama.cpp's server: {answer['error'].get('message', answer['error'])}")
        return answer

    def close(self) -> None:
        """Kill the server."""
        self._child.kill()
        self._child.wait()
        self._log.close()

    def _request(self, method: str, path: str, body: str | None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWERING)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + STARTING
        while time.monotonic() < end:
            if self._child.poll() is not None:
                break
            try:
                if self.get("/health").get("status") == "ok":
                    return
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                pass
            time.sleep(0.1)
        self._log.seek(0)
        output = self._log.read().strip().splitlines()[-3:]
        raise RuntimeError(f"llama.cpp's server did not start: {' '.join(output) or 'it printed nothing'}")


def version(binary: Path) -> str:
    """The version that the server reports."""
    done = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].removeprefix("version: ") if lines else "unknown"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
