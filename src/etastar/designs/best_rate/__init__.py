"""The rate that ends lowest at a horizon.

`best_lr` (the design with short lanes), `full_length` (the design with lanes of the whole horizon), `from_here` (with lanes
from a checkpoint), `best_rate` (their answer), `climb` (the search of one rung), `cooldowns` (what rates end at, at several
horizons, from one trunk each).
"""
