"""`etastar demo`: five verbs on one small network, each held to what comes after it.

`tour` (the five stops), `runs` (the trainings that are logged and watched), `pages` (one a stop, one that links them).
"""
