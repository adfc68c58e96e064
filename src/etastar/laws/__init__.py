"""What is fitted to measurements and predicts: every law refuses outside the data it has seen.

`law` (the contract), `scaling/` (eta* or the best rate against sizes), `curves/` (losses under a schedule), `surface` (loss
over rate, schedule and horizon), with `schedule_fit` and `gaussian_process` as its parts.
"""
