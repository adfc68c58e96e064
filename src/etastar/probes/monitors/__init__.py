"""What reads a training while it goes on, on the lane's first batch: one file a monitor, `named` lists them.

`sharpness_monitor`, `move_monitor`, `norm_monitor`; `standing` (the point where a training stands) and `drawn` (how
readings are drawn) are what they share.
"""
