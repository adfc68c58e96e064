"""What the terminal shows of an answer: its tables, its notes, and its cost.

`find`, `forecast`, `predict`, `probe`, `scale`, `search`, `response` (of surface, sensitivity and momentum); `cells` (rows
of a table) and `cost` are what they share.
"""
