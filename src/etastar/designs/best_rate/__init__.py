"""The rate that ends lowest at a horizon.

`best_lr` (the design with short lanes), `full_length` (the design with lanes of the whole horizon), `budgeted` (the
design for a few per cent of one training), `from_here` (with lanes from a checkpoint), `best_rate` (their answer),
`climb` (the search of one rung), `carried` (its best rate at the horizon), `last_look` (one lane
nearly as long), `cooldowns` (what rates end at, at several horizons, from one trunk each), `rate_prior`
(what is known before, and what lanes add to it), `rate_priors` (that of an optimizer and a schedule).
"""
