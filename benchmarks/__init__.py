"""Scripts that measure fimble and other runtimes; the documentation's figures come from them.

Run them from the repository's root as modules, as in ``python -m benchmarks.peers --help``. They may import
any module of the project; no other package imports them.
"""
