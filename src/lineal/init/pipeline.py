"""A pipeline that builds what a `lineal.yaml` says, for GitHub and GitLab."""

from __future__ import annotations

_GITHUB = """# Builds the images of every pull request and of {branch}.
name: images
on:
  push: {{branches: [{branch}], tags: ["v*"]}}
  pull_request:

permissions: {{}}

jobs:
  build:
    runs-on: ubuntu-latest
    permissions: {{contents: read, packages: write}}
    steps:
      - uses: actions/checkout@v5
      - uses: your_org/lineal/build@v1
"""
_GITLAB = """# Builds the images of every branch and merge request.
stages: [build]

include:
  - component: $CI_SERVER_FQDN/projects/lineal/build@0.1.0
"""
FILES = {"github": ".github/workflows/lineal.yml", "gitlab": ".gitlab-ci.yml"}
"""CI -> where its pipeline is written."""


def pipeline(ci: str, branch: str) -> str:
    """The text of a pipeline; `branch` is the one that is built after each push."""
    return _GITHUB.format(branch=branch) if ci == "github" else _GITLAB
