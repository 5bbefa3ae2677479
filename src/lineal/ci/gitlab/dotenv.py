"""The results of a run as variables for later jobs: GitLab's `artifacts:reports:dotenv`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from lineal.ci.results import ResultFiles
from lineal.errors import BadConfiguration
from lineal.report.model import Report
from lineal.report.tags import references

_VARIABLES = 20
_BYTES = 5 * 1024
"""GitLab's limits, unless an administrator changed them. GitLab refuses a whole file that is over one."""


def write_dotenv(report: Report, files: ResultFiles) -> None:
    """The file of `--dotenv`, for a command that is about a commit. Raises `BadConfiguration`."""
    if not files.dotenv or report.context is None:
        return
    text, left_out = dotenv(report)
    if left_out:
        names = ", ".join(left_out)
        files.warn(f"--dotenv has no variable for {names}: GitLab takes 20 variables and 5 KB, and each "
                   "needs a name of its own. Take them from --report.")  # fmt: skip
    try:
        Path(files.dotenv).write_bytes(text.encode())
    except OSError as error:
        sentence = f"The variables cannot be written to {files.dotenv}: {error.strerror}."
        raise BadConfiguration(sentence, id="LN-1017", remedy="Correct --dotenv.") from None


def dotenv(report: Report) -> tuple[str, list[str]]:
    """The file's text, and the images that are not in it: no room, or a variable that two images would share."""
    lines = [f"LINEAL_BUILT={'true' if any(image.built for image in report.images) else 'false'}"]
    published = [image for image in report.images if image.image and image.digest]
    if len(report.images) == 1 and published:
        lines += [f"LINEAL_IMAGE={published[0].image}", f"LINEAL_DIGEST={published[0].digest}"]
        tags = f"LINEAL_TAGS={','.join(references(published[0]))}"
        lines += [tags] if published[0].tags and len(tags) < _BYTES // 2 else []
    count = Counter(variable(image.name) for image in published)
    left_out = []
    for image in published:
        line = f"{variable(image.name)}={image.image}"
        fits = len(lines) < _VARIABLES and sum(len(one) + 1 for one in lines) + len(line) + 1 <= _BYTES
        if fits and count[variable(image.name)] == 1:
            lines.append(line)
        else:
            left_out.append(image.name)
    return "".join(f"{line}\n" for line in lines), left_out


def variable(image: str) -> str:
    """`LINEAL_IMAGE_` and the name in upper case: `TEAM_API_SERVER` for `team/api-server`."""
    return "LINEAL_IMAGE_" + re.sub(r"[^A-Z0-9]", "_", image.upper())
