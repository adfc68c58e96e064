"""From logs people already have: `forecast` (the question), `forecast_answer`, `readers/` (formats), `columns` (which column
is what), `units` (what steps count, and batches that change), `paths` (what was trained last), `oddities` (spikes, changes),
`ran` (a schedule's rates), `measured_curve` (a log as a curve of losses), `questions` (rates nobody ran), `back_test`.
"""
