"""The nouns of etastar and the one loop. Read this folder first; it imports torch only.

`problem` (of `parts`, or a loop; `problem_checks`: what it may not be), `lane` (with outcomes and runs), `training` (lanes
under way) and `snapshot`, `design` (and the one loop), `beginning` (where a user's own run stands), `deadline` (when it must
have answered), `monitor`, `estimate`, `told` (a result as JSON): the nouns. `code`, `flags`, `codes`: every word an answer
carries, explained.
`data_forms`, `loaders`, `data`, `read_ahead`, `batch`, `not_data`, `setup`, `groups`, `named_groups`, `optimizers`,
`schedule_of`, `modes`, `closures`: what users hand us, as we use it; `applied`: a rate, given back. `objective`, `accuracy`,
`uninformed`, `finite_loss`, `gradients`: what a loss is asked. `kept` and `place`, `traceless`, `randomness`, `numerics`:
what is left as it was. `kinds` of optimizers and losses, `reduction` of losses over samples. `chain`: networks of known
layers.

It offers `Beginning`, `Criterion`, `Design`, `Estimate`, `FLAGS`, `Lane`, `LaneStatus`, `Monitor`, `Outcome`, `Problem`,
`Runs`, `Snapshot`, `Status`, `Training`, `Until`, `run`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
