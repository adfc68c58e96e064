"""A rate against depth, width, batch size, horizon: forms, their choice, and where they stop.

`scaling_law` (chooses a form), `power_law`, `candidates` (the forms tried), `fitted` (what a fit says), `conditions`
(where it refuses), `next_member` (what to measure next).
"""
