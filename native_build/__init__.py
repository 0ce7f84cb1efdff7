"""Compiles the native engine: hatch_build.py does so for an installation, `python -m native_build` in place.

It needs nothing but a C++ compiler and the standard library, and is not installed with fimble. The library is
loaded through ctypes, so one serves every version of Python and torch on a platform.
"""
