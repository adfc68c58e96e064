"""Trains lanes. `loop` is the truth; everything faster must equal it.

`loop` (of `loop_lane`: one lane), `sequential` (the loop, tuned), `lanes/` (many at once), `workers` (processes), `ray/` (a
cluster), `user_loop` (a loop of the user's own). `preflight` (what is known before), with `first_batches` (what the data
says), `traces` (a problem's signature in losses) and `steady` (code that remembers is refused); `choice` and `equality`
(which engine, proven equal), `step_time` (of a step), `memory` (how many lanes fit). `reading` (the next batch), `recorder`
(when a lane is decided), `looks` (of its monitors), `validation` (what it is scored on), `first_losses` (and before),
`scoring_cost` (what that takes); `taking` (what a training may be asked), `trunks` (lanes that begin alike), `keeping`
(lanes under way, on disk). `signals` (what policies see), with `step_hessian` (second derivatives), `asking` (a policy for
its rate), `steering` (a lane by it).

It offers `LaneEngine`, `LoopEngine`, `RayEngine`, `SequentialEngine`, `WorkerEngine`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
