"""The question as it was asked: is there an ideal rate alpha_i = Psi(eps, i), in closed form or as a network?

`study` (claims and rules, declared beforehand), `plan` (what is measured), `tasks` (on what), `recorded` (experiments: logs
and forks of a task), `arms` (what is learnt from those of other groups), `driven` (fresh runs under each), `unknown_horizon`
(where nobody knows how many steps are to come), `averaged` (optimizers that are evaluated at a mean of their weights),
`findings` (what the rows say), `tables` and `drawn` (how it is shown).
"""
