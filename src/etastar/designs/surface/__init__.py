"""Loss over rate, schedule and horizon.

`surface` (the design), `surface_cells` (what one cell's lanes say).
"""
