"""The largest rate at which a fresh network starts to train.

`eta_star` (the design), `success_band` (its answer), `edge` (its upper end, from the lanes around it),
`psychometric` (the posterior behind them).
"""
