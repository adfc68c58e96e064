"""Which rate, and is mine any good: `find` and `find_answer`, `efforts` (what each may cost), `eta_star`, `judge` (the rate
in use against an answer), `one_seed` (methods of which one seed says little).
"""
