"""Policies in other people's training loops: thin, without logic of their own.

`controller` (a policy in anyone's loop), `torch` (as one of torch's schedulers), `transformers/` (in their
Trainer; their training as a problem; a rate given to them); `feeding` (the loss of a step out of micro-batches),
`attached` (optimizer and policy, made ready for each other), `scaling` (GradScaler), `ranks` (several processes),
`extension` (a longer run), `snapshots` (to go back to).

It offers `Controller`, `PolicyLR`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
