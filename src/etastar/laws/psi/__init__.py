"""The ideal learning rate as a function of epoch and loss, Psi(eps, i), from recorded experiments.

`fork` (what one experiment says), `ideal` (the best rate of a state, from the forks there), `closed_form` (a formula of the
ideal rates), `driven` (what fresh runs under a formula are worth, over tasks). The question to the letter: `literal` (rows
of logs, and what they confound), `literal_fits` (what a rate promises, fitted to them). `shares` (what the ideal rates vary
with).
"""
