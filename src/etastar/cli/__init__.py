"""The command line: mirrors `verbs`; parse, one call, print, exit code."""
