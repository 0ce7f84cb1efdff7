"""Entry point of the `fimble` command and of ``python -m lsp_server``.

The process always exits here, even if threads are still running.
"""

import os
import sys

from lsp_server.isolation import import_path


def run() -> None:
    """Run the command line and exit with its status."""
    sys.path[:] = import_path()  # before anything else is imported: `python -m` puts the current folder first
    try:
        import signal

        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)
        from lsp_server.cli import main

        status = main()
    except KeyboardInterrupt:
        status = 130
    except SystemExit as exiting:  # from argparse or `_terminated`
        status = exiting.code if isinstance(exiting.code, int) else 1
    except BaseException:  # with --debug
        sys.excepthook(*sys.exc_info())
        status = 1
    _end(status)


def _terminated(number: int, _: object) -> None:
    """Clean up and exit, as after Ctrl-C. By convention the exit status is 128 + the signal's number."""
    sys.exit(128 + number)


def _end(status: int) -> None:
    """Exit without the interpreter's own shutdown.

    A thread may be loading a model or computing. Shutting down torch under it would abort the process
    ("terminate called without an active exception") or take seconds.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # the reader has closed the pipe
        status = status or 1
    finally:  # after another Ctrl-C, too
        os._exit(status)


if __name__ == "__main__":
    run()
