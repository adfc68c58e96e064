"""What the learning rate does to a network block by block: does a decay gain by stability, or by settling?

`sizes`, `networks` (two halves, data, noise), `walk` (trains an arm, from states that arms share), `arms`, `looks` (A and
B), `reading` (what else is read of weights), `measure` (the rows), `claims` (declared beforehand), `shares` (Fieller, Holm),
`gains`, `numbers`, `conclude`, `charts`, `study`.
"""
