"""Rates for a horizon of 10,000 steps from 1 - 5 % of it: `tasks`, `truth` (what every rate ends at), `arms`, `score`; and
narrow `twins`.
"""
