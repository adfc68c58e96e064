"""Which policy for my task, at equal budget: `compare`, `compare_answer` (what it found), `learning` (curves, targets),
`lr_free` (optimizers that find their rate by themselves, as rivals).
"""
