"""What the learning rate does to a network block by block: does a decay gain by stability, or by settling?

`sizes`, `networks` (two halves in blocks, data, noise), `states` (kept where arms part), `walk` (trains an arm), `arms`,
`looks` (A and B), `reading` (what else is read of weights), `measure` (the rows), `claims` (declared beforehand), `shares`
(Fieller, Holm), `gains`, `numbers`, `conclude`, `charts`, `study`.
"""
