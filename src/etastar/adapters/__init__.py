"""Policies in other people's training loops: thin, without logic of their own.

`controller` (a policy in anyone's loop), `torch` (as one of torch's schedulers), `transformers/` and `lightning/` (a policy
in their trainers, their training as a problem, a rate found for them); `micro_batches` (what they weigh) and `feeding` (the
loss of a step), `attached` (optimizer and policy, made ready for each other), `scaling` (GradScaler), `ranks` (several
processes), `extension` (a longer run), `snapshots` (to go back to); `watch` (warns of a rate that will diverge) by
`edge_look` (how near the edge it is) where `rising` says to look, and `caution` (the warning);
`stability_watch` (what steps change);
`loggers` (where rates and readings go), `step_log` (what a forecast reads).

It offers `Caution`, `Controller`, `Logger`, `PolicyLR`, `StabilityWatch`, `StepLog`, `TensorBoard`, `WandB`,
`Watcher`, `show_charts`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
