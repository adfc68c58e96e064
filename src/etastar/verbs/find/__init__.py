"""Which rate, and is mine any good: `find` and `find_answer`, `eta_star`, `budget` (what a budget of
the user's buys), `judge` (the rate in use against an answer), `one_seed` (methods of which one seed says little).
"""
