"""Runs the helm program, version 3 or 4, and explains its failures.

`client` builds arguments and runs; `errors` turns helm's words into ours, `template_location` finds the template that
a message is about. `chart_fetch` and `chart_archive` fetch and unpack charts, `dependencies` completes them,
`values_merge` and `manifests` read what helm makes of them, `recovery` undoes an upgrade that was cut off."""
