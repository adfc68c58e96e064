"""What a network says about its learning rate before it is trained: curvature, critical rate, noise, update size."""
