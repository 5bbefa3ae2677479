"""Runs the helm program, version 3 or 4, and explains its failures.

`client` builds arguments and runs; `errors` turns helm's words into ours, `refusals` those that blame the wrong one,
`template_location` finds the template that a message is about. `chart_fetch` and `chart_archive` fetch and unpack
charts, `dependencies` completes them; `values_merge`, `manifests`, `objects` and `definitions` read what helm makes
of them. `recovery` undoes an upgrade that was cut off, and `hooks_left` removes its hooks."""
