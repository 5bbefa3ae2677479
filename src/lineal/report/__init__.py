"""A run in the words of people: its report as values, and how a terminal and a log show it.

`model` is the report, `table` and `diff` its end on stderr, `html` its page, `stage_graph` answers who is made from
whom and `timeline` what the run waited for. A run that goes on speaks through a `lineal.progress.Progress`:
`terminal` is live, `log` writes lines between the markers of a CI, `select` chooses. The package knows no CI:
markers are passed in."""
