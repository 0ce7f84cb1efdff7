"""Where the figures of the documentation come from: scripts that measure fimble, and others beside it.

Run them from the repository's root as modules, as in ``python -m benchmarks.peers --help``. They may import
everything of ours, and nothing of ours imports them.
"""
