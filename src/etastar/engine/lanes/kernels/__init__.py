"""Loss, accuracy and gradient of all rows at once.

`kernel` (the contract), `mlp` and `convnet` (written out for chains of layers), `functional` (torch.func.vmap),
`chain_loss` (the losses of the first two).
"""
