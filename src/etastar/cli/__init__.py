"""The command line, a file or less a verb: parse, one call, print, exit code.

`main` (the commands); `finding`, `forecasting`, `scaling`, `searching`, `starting` (doctor, probe, predict), `surfaces`,
`scheduling`, `comparing`, `studying`, `psi`, `listing`, `touring`. `options` (one each) and `groups` (what commands share),
which `spread` makes parameters; `spec` (a problem as it is typed), `load` (the problem from it). `output` (the terminal),
`outputs` (files), `standard_output` (JSON alone), `heartbeat` (a line a minute in a log), `plain` (words of others);
`signals` (ending as Ctrl-C does).
"""
