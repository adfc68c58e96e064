"""Which rate, and is mine any good: `find` and `find_answer` (made by `answering`), `efforts` (what each may cost), `budget`
(what one of the user's buys), `from_checkpoint` (the rest of a run under way), `eta_star`, `judge` (the rate in use against
an answer), `one_seed` (methods of which one seed says little), `in_order` (data that are not shuffled).
"""
