"""Trials over learning rate and other settings.

`optuna_search` (the design), `optuna_samplers` (grid, random, genetic, TPE ...), `search_space`, `trials` (lanes as
trials), `confirmation` (the best again on fresh seeds).
"""
