"""What reads a training while it goes on, on the lane's first batch: one file a monitor, `named` lists them.

`standing` is what they share: the point where a training stands.
"""
