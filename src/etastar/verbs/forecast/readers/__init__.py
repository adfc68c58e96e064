"""Logs that trainers write, one file a format: each gives the rows as they stand, and says what to know about them.

`reading` (which reader a file is for), `log` (what they give), `delimited`, `json_lines`, `trainer_state`, `text`,
`parquet`, `tensorboard`, `stored_run`.
"""
