"""Loss curves under learning-rate schedules: laws that predict a whole curve under a schedule nobody ran.

`curve` (what was measured), `logged_rates` (the rate of every update, from a log), `clock` (a schedule in intrinsic time),
`separable` (the fit that all laws share), `curve_law` (the contract), `predicted` (what one says), `conditions` (where they
refuse); the laws: `fading_noise` (the default), `tissue2024momentum`, `luo2025multipower`, `schaipp2025convex`,
`blind_power` (sees steps only: the baseline), `same_gain`, `constant_rate` (one run at a constant rate); `shapes` (which
schedule for the rest).
"""
