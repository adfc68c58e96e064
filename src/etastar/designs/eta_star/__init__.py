"""The largest rate at which a fresh network starts to train.

`eta_star` (the design), `success_band` (its answer), `psychometric` (the posterior behind both).
"""
