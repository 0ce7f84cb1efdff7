"""The `fimble` process from its start to its end; also ``python -m lsp_server``.

**__main__** ▶ {isolation, cli}. Whatever a command does, the process ends here, in one way.
"""

import os
import sys

from lsp_server.isolation import import_path


def run() -> None:
    """Run the command line and end the process with its exit status."""
    sys.path[:] = import_path()  # before anything else is imported: `python -m` puts the current folder first
    try:
        import signal

        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)
        from lsp_server.cli import main

        status = main()
    except KeyboardInterrupt:
        status = 130
    except SystemExit as exiting:  # of argparse, or `_terminated`
        status = exiting.code if isinstance(exiting.code, int) else 1
    except BaseException:  # with --debug
        sys.excepthook(*sys.exc_info())
        status = 1
    _end(status)


def _terminated(number: int, _: object) -> None:
    """End as after Ctrl-C: what needs cleaning up is cleaned up. Shells show this end as 128 + the signal."""
    sys.exit(128 + number)


def _end(status: int) -> None:
    """End the process now.

    A thread may be loading a model or computing. The interpreter's own end would take down torch under it,
    which aborts the process ("terminate called without an active exception") or waits for seconds.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # nobody reads it any more
        status = status or 1
    finally:  # after another Ctrl-C, too
        os._exit(status)


if __name__ == "__main__":
    run()
