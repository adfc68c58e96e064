"""Experiments that ask for the ideal rate over a training.

`tuned_peak` (a policy's best rate on a grid), `forks` (from states of training on at other rates), `repeats` (policies at a
given rate on fresh seeds).
"""
