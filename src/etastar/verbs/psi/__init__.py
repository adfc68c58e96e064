"""The ideal rate over a training: `fit_psi` (experiments, closed forms, fresh runs), `measured` (what is trained for it)."""
