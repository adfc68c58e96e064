"""Many trainings at once: every lane is a row. Equal to `engine.loop`, lane by lane.

`engine` (the engine), `rows` (parameters and state), `kernels/` (loss and gradient of all rows), `rules/` (optimizers
on all rows), `feed` (batches), `rates`, `watch` (who is decided), `steady` (code that remembers is refused),
`lane_settings` (settings that differ by lane).
"""
