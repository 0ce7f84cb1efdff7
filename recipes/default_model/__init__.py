"""The default model: how the checkpoint in `model_runtime/default_model` is made.

    python -m recipes.default_model --help

Every step reads what earlier ones wrote into one folder, and can be repeated or resumed.
"""
