"""Secrets for `RUN`: where their values are, read only when a command mounts them, and masked in what it prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from lineal.config.beside import entry
from lineal.config.document import spell
from lineal.config.grants import Grants, expanded, secret_wish
from lineal.config.model import Secret
from lineal.errors import BadConfiguration
from lineal.text import bare
from lineal.trust.keys import PASSWORD, SIGNING_KEY, TOKENS, is_pem
from lineal.trust.mark import TRUST_KEY

_MASK = "***"
_SHORTEST = 4
"""Shorter values stay unmasked: they would blank out ordinary text and tell more by that."""


class Mask:
    """Takes values that are secret out of what is printed."""

    def __init__(self, values: Iterable[str] = (), within: Mask | None = None) -> None:
        """What this one hides, the one that it is `within` hides as well."""
        self._lines: set[str] = set() if within is None else within._lines
        self.hide(values)

    def hide(self, values: Iterable[str]) -> None:
        """Mask these values too, line by line, by what anybody takes for the end of a line."""
        lines = {line.strip() for value in values for line in [*value.split("\n"), *value.splitlines()]}
        self._lines |= {line for line in lines | set(map(bare, lines)) if len(line) >= _SHORTEST}

    def mask(self, line: str) -> str:
        """The line without any of the values; also of one that codes for a terminal hide in it."""
        masked = self._replaced(line)
        seen = bare(masked)
        hidden = self._replaced(seen)
        return masked if hidden == seen else hidden

    def _replaced(self, line: str) -> str:
        for secret in sorted(self._lines, key=len, reverse=True):
            line = line.replace(secret, _MASK)
        return line


class SecretValues(Mask):
    def __init__(
        self,
        images: Mapping[str, Iterable[Secret]],
        given: Iterable[Secret],
        environ: Mapping[str, str],
        root: Path,
        grants: Grants | None = None,
        within: Mask | None = None,
    ) -> None:
        """`images` has the secrets of each image of lineal.yaml, `given` those of the command line, which win.
        Relative `file` paths start from `root`. `grants` limits what lineal.yaml names."""
        super().__init__(within=within)
        self._images = {
            name: {secret.id: (number, secret) for number, secret in enumerate(secrets)}
            for name, secrets in images.items()
        }
        self._given = {secret.id: secret for secret in given}
        self._environ = environ
        self._root = root
        self._grants = grants or Grants(environ, root)

    def value(self, image: str, name: str) -> bytes | None:
        """The value, None when no such secret is given. Raises `BadConfiguration` when its source is missing, or is
        none that a commit may name."""
        secret = self._given.get(name) or self._named(image, name)
        if secret is None:
            return None
        if secret.env is not None:
            if secret.env not in self._environ:
                raise BadConfiguration(
                    f"The secret {name!r} comes from the environment variable {secret.env}, which is not set.",
                    id="LN-1014",
                    remedy="Set it in the job's environment.",
                )
            value = self._environ[secret.env].encode("utf-8", "surrogateescape")
        else:
            value = self._file(name, str(secret.file))
        if any(key in value for key in self._keys) or value.decode(errors="replace").strip() == self._environ.get(
            PASSWORD
        ):
            raise _is_key(f"The secret {name!r}")
        self.hide([value.decode(errors="replace")])
        return value

    @cached_property
    def _keys(self) -> list[bytes]:
        """What the run vouches with, or its CI for it, wherever somebody finds it again."""
        signing = self._environ.get(SIGNING_KEY, "")
        if signing and not is_pem(signing):
            try:
                signing = (self._root / signing.strip()).read_text("ascii", "replace")
            except (OSError, ValueError):
                signing = ""
        found = [*self._environ.get(TRUST_KEY, "").split(), signing.strip()]
        found += [self._environ.get(name, "") for name in TOKENS]
        return [key.encode("utf-8", "surrogateescape") for key in found if key]

    def beside(self, image: str, name: str) -> str | None:
        """What a stage remembers of this secret (config/beside.py); None when the caller gave it, or nobody."""
        secret = None if name in self._given else self._images.get(image, {}).get(name, (0, None))[1]
        return None if secret is None else entry(secret)

    def _named(self, image: str, name: str) -> Secret | None:
        """The secret as the commit names it, if the run lets the commit have it."""
        number, secret = self._images.get(image, {}).get(name, (0, None))
        if secret is None:
            return None
        place = self._grants.place(spell(("images", image, "secrets", number)))
        wish = secret_wish(secret, place)
        if secret.env is not None:
            self._grants.check_variable(wish, secret.env)
        elif secret.file is not None:
            secret = Secret(id=name, file=str(self._grants.path(wish, secret.file)))
        else:
            self._grants.say_missing(wish)
            return None
        return secret if self._grants.let(wish) else None

    def _file(self, name: str, file: str) -> bytes:
        path = expanded(file, self._root, self._environ)
        if committed := self._grants.inside(path):
            raise BadConfiguration(
                f"The secret {name!r} comes from {committed}, a file of the commit: it is no secret, and as one it "
                "would be part of no checksum.",
                id="LN-1029",
                remedy=f"Mount it with --mount=type=bind,source={committed},target=PATH, or take it out of git.",
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise BadConfiguration(
                f"The secret {name!r} comes from {path}, which cannot be read: {error.strerror}.",
                id="LN-1014",
                remedy="Correct its `file`.",
            ) from None


def check_no_key(giver: str, variable: str) -> None:
    """Raises `BadConfiguration` for a variable that has a key by which a run vouches for what it publishes."""
    if variable in (PASSWORD, *TOKENS) or (variable.startswith("LINEAL_") and variable.endswith("_KEY")):
        raise _is_key(giver, variable)


def _is_key(giver: str, key: str = "a key of this run") -> BadConfiguration:
    return BadConfiguration(
        f"{giver} gives a command {key}, by which it could vouch for whatever it likes.",
        id="LN-1042",
        remedy="Give it another value: no command needs this key.",
    )


def parse_secret(text: str, folder: Path) -> Secret:
    """`id=npm,env=NPM_TOKEN` or `id=npm,src=PATH`, as for `docker build --secret`; `id=NPM` alone is `env=NPM`.
    A relative PATH starts from `folder`."""
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    name, env, kind = parts.pop("id", ""), parts.pop("env", None), parts.pop("type", "file")
    file = parts.pop("src", parts.pop("source", parts.pop("file", None)))
    if kind == "env" and env is None:
        env, file = file, None
    if not name or parts or kind not in ("env", "file") or "" in (env, file) or None not in (env, file):
        # Not what was written: somebody may have put the secret itself there.
        raise BadConfiguration(
            "--secret cannot be read.",
            id="LN-1013",
            remedy="Write --secret id=NAME,env=VARIABLE or --secret id=NAME,src=FILE.",
        )
    check_no_key("--secret", env or ("" if file is not None else name))
    if file is not None:
        return Secret(id=name, file=file if file.startswith("~/") else str(folder / file))
    return Secret(id=name, env=env or name)
