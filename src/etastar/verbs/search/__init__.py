"""Search over rate and other settings: `search`, `search_answer`, `search_verdict`, `batch_sizes` (losses compared per
sample), `variants` (problems of trials), `prior` (where a search begins), `optuna_space` (a measured range for
somebody else's search).
"""
