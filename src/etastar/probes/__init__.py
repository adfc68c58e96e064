"""What a network says about its learning rate before it is trained: curvature, critical rate, noise, update size.

`reading` (the contract), `point` (a network, its loss and samples), one file a probe, and what they share.
"""
