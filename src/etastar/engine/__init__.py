"""Trains lanes. `loop` is the truth; everything faster must equal it."""
