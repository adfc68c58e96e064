"""The ideal rate over a training: `fit_psi` (experiments, closed forms, fresh runs), `train_psi` (the network), made by
`evolution`, and `measured`, what is trained for both.
"""
