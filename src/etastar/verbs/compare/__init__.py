"""Which policy for my task, at equal budget: `compare`, `compare_answer` (what it found), `learning` (curves, targets)."""
