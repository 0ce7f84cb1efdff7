"""``python -m lsp_server``: the `fimble` command, where it is not installed as one."""

import sys

from lsp_server.cli import main

sys.exit(main())
