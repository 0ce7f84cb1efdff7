"""How the models that fimble ships are made: one sub-package a model, and what they share.

Not installed with fimble; run from the repository's root.
"""
