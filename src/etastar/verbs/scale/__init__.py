"""Tuned small, what for larger: `scale`, `scale_answer`, `family` (members of a family), `member_rate` (one member's
rate), `transfer` (muP beside the standard parametrisation).
"""
