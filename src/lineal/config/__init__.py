"""The project as its commit describes it: `lineal.yaml` and `lineal-giterminism.yaml`.

A file is rendered with Jinja2 in a sandbox, parsed as YAML that remembers its lines, converted to the types of
`model`, and checked by rules. `setting` adds where each value came from; `secrets` and `ssh_agents` find the values
that a commit names by id. Nothing here reads the repository: callers pass the text."""
