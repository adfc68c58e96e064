"""The ideal rate over a training: `fit_psi` (experiments, closed forms, fresh runs), `train_psi` (the network), made by
`evolution`, for every fold of the groups by `folds`, and driven by `judging`, and `measured`, what is trained for both.
"""
