"""The update of each optimizer, for all rows at once.

`rule` (the contract), `rules` (the registry and most optimizers), `moment_rules` (Adam and its kin).
"""
