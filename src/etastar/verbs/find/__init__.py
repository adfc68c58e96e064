"""Which rate, and is mine any good: `find` and `find_answer`, `from_checkpoint` (the same for the rest of a run),
`eta_star`, `judge` (the rate in use against an answer), `one_seed` (methods of which one seed says little).
"""
