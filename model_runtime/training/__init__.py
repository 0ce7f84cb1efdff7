"""The recipe of the default model: corpus, tokenizer, fill-in-the-middle packing, training, evaluation.

    python -m model_runtime.training --help

Every step reads what the one before wrote into one folder, and can be run again or resumed.
"""
