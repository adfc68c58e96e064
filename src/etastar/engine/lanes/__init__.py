"""Many trainings at once: every lane is a row. Equal to `engine.loop`, lane by lane.

`engine` (the engine), `lane_training` (lanes under way), `rows` (parameters and state), `kernels/` (loss and gradient of
all rows), `rules/` (optimizers on all rows), `feed` (batches), `rates`, `watch` (who is decided), `lane_settings` (settings
that differ by lane).
"""
