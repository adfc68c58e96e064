"""Trains lanes. `loop` is the truth; everything faster must equal it.

`loop`, `sequential` (the loop, tuned), `lanes/` (many at once), `workers` (processes), `ray/` (a cluster);
`user_loop` (a loop of the user's own); `preflight` (what is known before), with `first_batches` (what the data says);
`choice` and `equality` (which engine, proven equal), `recorder` (when a lane is decided), `reading` (the next batch),
`validation` (what a lane is scored on), `memory`;
`signals` (what policies see), with `step_hessian` (second derivatives), `asking` (a policy for its
rate), `steering` (a lane by it).
"""
