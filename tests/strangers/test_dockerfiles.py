"""Dockerfiles as docker takes them: each kind as people write it, and the siblings of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineal.config.giterminism import load_giterminism
from lineal.context.chmod import Chmod
from lineal.context.remote_source import GitSource, parse
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.remote_policy import RemotePolicy
from lineal.dockerfile.scope import finish
from lineal.dockerfile.stage import Stage, closure
from lineal.errors import BadConfiguration, LinealError
from lineal.progress import Notes
from tests import servers
from tests.conftest import Lineal
from tests.unit.assemble.test_http_source import DIGEST, running
from tests.unit.stages.workbench import Files, planned

FILES: Files = {"a": "a", "app.ini": "root", "conf/app.ini": "folder"}


@dataclass
class Told:
    """What a plan said beside its result."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def plan(self, text: str, **options: Any) -> Stage:
        return planned(text, FILES, notes=Notes(self.notes.append, self.warnings.append), **options)


@pytest.fixture
def told() -> Told:
    return Told()


def refused(text: str, **options: Any) -> list[str]:
    """All that is wrong, a line each."""
    with pytest.raises(LinealError) as error:
        planned(text, FILES, **options)
    return str(error.value).splitlines()


def allowed(text: str) -> dict[str, Any]:
    """The options of a plan under this lineal-giterminism.yaml."""
    return {"remotes": RemotePolicy(load_giterminism(text))}


# --- a remote ADD that nothing pins ---------------------------------------------------------------------------------

URL = "https://example.com/tool-1.2.3.tgz"
REMOTE = [URL, "http://example.com/x", "https://example.com/a.git", "https://example.com/a.git#v1.4.3",
          "https://example.com/a.git?tag=v1", "git://example.com/x#main", "https://example.com:8443/x"]  # fmt: skip


@pytest.mark.parametrize("source", REMOTE)
def test_a_remote_add_is_taken_and_counts_as_its_text(source: str) -> None:
    one, other = (
        planned(f"FROM b:1\nADD {text} /d/\n") for text in (source, source.replace("example.com", "b.example"))
    )
    assert one.checksum != other.checksum
    assert one.checksum == planned(f"FROM b:1\nADD {source} /d/\n").checksum
    assert one.inputs["sources"] == [source] and one.inputs["files"] == [[]]


@pytest.mark.parametrize("source", REMOTE)
def test_a_project_may_want_all_of_them_pinned(source: str) -> None:
    text = f"FROM b:1\nADD {source} /d/\n"
    (line,) = refused(text, **allowed("dockerfile: {pinned: true}"))
    assert line.startswith(f"Dockerfile:2: ADD of '{source}'") and line.endswith("[LN-2012]")
    # The line to paste is one that is taken.
    pasted = line.partition("lineal-giterminism.yaml: `")[2].partition("`")[0]
    assert planned(text, FILES, **allowed(pasted))


@pytest.mark.parametrize("source", [*REMOTE, "https://example.com/a.git?ref=v1&subdir=d&submodules=0#:d",
                                    "https://example.com/a.git?keep-git-dir=1#v1:d"])  # fmt: skip
def test_the_line_that_the_build_prints_pins_it(source: str) -> None:
    remote = parse(source)
    assert remote is not None and not remote.pinned
    content = "a" * 40 if isinstance(remote, GitSource) else "sha256:" + "1" * 64
    ((_, pinned),) = copy_of(f"FROM b:1\n{remote.fixed(content)} /d/\n", {}).remotes
    if isinstance(remote, GitSource):
        assert pinned == replace(remote, ref=content, commit=content)
    else:
        assert pinned == replace(remote, digest=content)


def test_a_build_says_what_it_brought_once(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"Dockerfile": "FROM scratch\nADD http://files.example.com/b /d/\n"})
    with running() as server:
        lineal.env |= {"http_proxy": server.url}
        first = lineal("build", "--repo", "layout:store")
        again = lineal("build", "--repo", "layout:store")
    url = "http://files.example.com/b"
    note = f"{url} is {DIGEST}, and this stage keeps it. To pin it, write `ADD --checksum={DIGEST} {url} …`."
    assert f"Dockerfile:2: {note}" in first.stderr
    assert (first.code, again.code, first.stdout) == (0, 0, again.stdout)
    assert DIGEST not in again.stderr and len(server.asked) == 1


def test_a_pinned_add_has_the_checksum_that_it_had() -> None:
    digest = "sha256:" + "1" * 64
    text = f"FROM b:1\nADD --checksum={digest} {URL} /d/\n"
    assert planned(text).inputs["flags"] == [["checksum", digest]]
    assert planned(text, FILES, **allowed("dockerfile: {pinned: true}")).checksum == planned(text).checksum


INSIDE = ["127.0.0.1", "localhost", "LOCALHOST.", "app.localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
          "0.0.0.0", "10.1.2.3", "172.17.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[::1]", "[fe80::1]",
          "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "metadata.google.internal",
          "host.docker.internal", "vault", "printer.local", "１２７.0.0.1"]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("source", ["http://{}/x", "https://{}:8443/x.git#main", "git://{}/x"])
def test_a_service_of_this_network_is_no_source_unless_something_pins_it(host: str, source: str) -> None:
    text = f"FROM b:1\nADD {source.format(host)} /d/\n"
    for rules in ("", "dockerfile: {unpinned: ['**', 'http*://**', '*://*/**', 'http://*:*/**']}"):
        (line,) = refused(text, **allowed(rules))
        assert "leads to this machine or its network, and no checksum says" in line
    assert planned(f"FROM b:1\nADD --checksum=sha256:{'1' * 64} http://{host}/x /d/\n")


def test_a_host_that_is_spelt_out_may_be_of_this_network() -> None:
    rules = allowed("dockerfile: {unpinned: ['http://10.1.2.3:8081/raw/**', 'http://nexus/*']}")
    assert planned("FROM b:1\nADD http://10.1.2.3:8081/raw/a/b http://nexus/x /d/\n", FILES, **rules)
    assert len(refused("FROM b:1\nADD http://10.1.2.3:9000/raw/a http://10.1.2.4/x /d/\n", **rules)) == 2


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "[2606:4700::1111]", "a.b-c.dev", "dead.beef"])
def test_other_hosts_are_public(host: str) -> None:
    assert planned(f"FROM b:1\nADD http://{host}/x /d/\n")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("--checksum=x https://example.com/x", "it has the --checksum 'x', which is no digest. Write `sha256:` and"),
        ("git@example.com:x.git", "it is reached with ssh, whose keys Lineal does not use for ADD. Write its https"),
        (
            "https://u:p@example.com/x",
            "which would be kept in the image's history. Download it in a RUN with `--mount",
        ),
        ("https:///x", "it has no host. Correct it."),
        ("https://example.com:port/x", "it is no address. Correct it."),
    ],
)
def test_a_remote_add_that_cannot_be_says_a_whole_sentence(source: str, sentence: str) -> None:
    (line,) = refused(f"FROM b:1\nADD {source} /d/\n")
    assert sentence in line


# --- an empty target ------------------------------------------------------------------------------------------------

EMPTY = "FROM scratch AS none\nFROM b:1\n"


@pytest.mark.parametrize("source", ["/", ".", "./", "/*", "*", "/.", "/a/.."])
def test_nothing_is_taken_from_an_empty_target(source: str) -> None:
    last = planned(f"{EMPTY}COPY --from=none {source} /x/\n")
    assert last.sources == {} and last.inputs["files"] is None


@pytest.mark.parametrize(
    "line", ["COPY --from=none /a /b", "COPY --from=none / a /b/", "COPY --from=none a/* /b", "COPY --from=0 /a /b",
             "COPY --parents --from=none ./a /b", "RUN --mount=from=none,source=a,target=/m x"]
)  # fmt: skip
def test_a_file_of_an_empty_target_is_refused(line: str) -> None:
    (said,) = refused(f"{EMPTY}{line}\n")
    assert said.startswith("Dockerfile:3: There is no ") and "which is empty. Take its root `/`" in said


def test_an_empty_target_is_mounted() -> None:
    for kind in ("bind", "cache"):
        last = planned(f"{EMPTY}RUN --mount=type={kind},from=none,target=/m x\n")
        assert last.inputs["mounted"] == {"0": None}
        assert last.checksum != planned(f"FROM b:1\nRUN --mount=type={kind},from=c:1,target=/m x\n").checksum


@pytest.mark.parametrize("text", ["FROM scratch\n", "FROM scratch AS a\nFROM a AS b\n", "FROM scratch\nARG A=1\n"])
def test_an_empty_target_is_an_image(text: str) -> None:
    last = planned(text)
    assert (last.op, last.parent, last.metadata, last.is_empty) == (None, None, (), True)
    assert last.checksum != planned(text, platform="linux/arm64").checksum
    assert last.checksum != planned(text, cache_version="2").checksum


def test_an_empty_image_is_a_base_and_a_source_of_others() -> None:
    none = planned("FROM scratch\n", name="none")
    needs = {"NONE": ("none", none)}
    assert planned("ARG NONE\nFROM $NONE\nCOPY a /\n", FILES, needs=needs).parent is none
    assert planned("ARG NONE\nFROM b:1\nCOPY --from=none / /x/\n", needs=needs).sources == {"none": none}
    assert "There is no '/a'" in refused("ARG NONE\nFROM b:1\nCOPY --from=none /a /x/\n", needs=needs)[0]


# --- words that wait for the base -----------------------------------------------------------------------------------


def copy_of(text: str, environment: dict[str, str], **options: Any) -> CopyInstruction:
    found = planned(text, FILES, **options).op
    assert isinstance(found, CopyInstruction)
    return found.finished(lambda word: finish(word, environment))


def test_what_a_copy_says_may_wait_for_the_base() -> None:
    found = copy_of("FROM b:1\nCOPY --from=b:2 --chmod=$M --chown=$U ${HOME}/bin/*.sh /d/\n",
                    {"M": "0750", "U": "app", "HOME": "/opt"})  # fmt: skip
    assert (found.sources, found.chmod, found.chown) == (("/opt/bin/*.sh",), Chmod("0750"), "app")
    assert copy_of("FROM b:1\nCOPY --chmod=$M a /d/\n", {}).chmod is None
    assert copy_of("FROM b:1\nCOPY --link --chmod=$M a /d/\n", {}).link
    assert not copy_of("FROM b:1\nCOPY --link --chmod=$M a /d/\n", {"M": "u+x"}).link


def test_what_is_wrong_then_is_said_then() -> None:
    for text, environment in (
        ("COPY --chmod=$M a /d/", {"M": "rwx"}),
        ("COPY --link --chown=$U a /d/", {"U": "app"}),
        ("ADD --checksum=$S https://example.com/x /d/", {"S": "sha256:1"}),
        ("ADD --checksum=$S a /d/", {"S": "sha256:1"}),
        ("ADD https://example.com:$P/x /d/", {"P": "port"}),
    ):
        with pytest.raises(BadConfiguration):
            copy_of(f"FROM b:1\n{text}\n", environment)


def test_a_remote_add_may_wait_for_the_base() -> None:
    digest = "sha256:" + "1" * 64
    ((source, remote),) = copy_of("FROM b:1\nADD --checksum=$S https://example.com/v$V.tgz /d/\n",
                                  {"S": digest, "V": "7"}).remotes  # fmt: skip
    assert (source, remote.pinned) == ("https://example.com/v7.tgz", True)
    pinned = allowed("dockerfile: {pinned: true}")
    (line,) = refused("FROM b:1\nADD --checksum=$S https://example.com/x /d/\n", **pinned)
    assert "has no checksum" in line
    assert planned(f"FROM b:1\nADD --checksum={digest} https://example.com/$V /d/\n", FILES, **pinned)


def test_a_mount_may_wait_for_the_base() -> None:
    step = planned("FROM b:1\nRUN --mount=type=cache,id=go-$P,target=/c,mode=$M,sharing=${S:-locked} x\n").op
    assert isinstance(step, RunInstruction)
    (mount,) = step.mounts
    known = mount.finished(lambda word: finish(word, {"M": "700"}))
    assert (known.id, known.mode, known.sharing, known.target) == ("go-", 0o700, "locked", "/c")
    with pytest.raises(ValueError, match="mode=x is not an octal mode"):
        mount.finished(lambda word: finish(word, {"M": "x"}))


def test_the_text_of_what_waits_counts() -> None:
    lines = [
        "COPY --from=b:2 $X /d", "COPY --from=b:2 $Y /d", "COPY --from=b:2 ${X} /d", "COPY --chmod=$X a /d",
        "COPY --chmod=$Y a /d", "COPY --chown=$Y a /d", "RUN --mount=type=cache,id=$X,target=/c x",
        "RUN --mount=type=cache,id=$Y,target=/c x", "RUN --mount=type=cache,id=c,mode=$Y,target=/c x",
        "ARG A=$X\nRUN x", "ARG A=$Y\nRUN x", "ADD --checksum=$X https://example.com/x /d",
        "ADD --checksum=$Y https://example.com/x /d", "ADD https://example.com/$X /d", "LABEL $X=1", "LABEL $Y=1",
    ]  # fmt: skip
    assert len({planned(f"FROM b:1\n{line}\n", FILES).checksum for line in lines}) == len(lines)


def test_a_value_of_arg_may_wait_for_the_base() -> None:
    found = copy_of("FROM b:1\nARG A=${HOME}/x B=$A/y\nARG C=[$B]\nCOPY --from=b:2 $C /d\n", {"HOME": "/h"})
    assert found.sources == ("[/h/x/y]",)


def test_what_an_env_says_later_is_not_what_the_arg_saw() -> None:
    last = planned("FROM b:1\nARG V=[$APP_V]\nENV APP_V=$V\nCOPY a /$V\n", FILES)
    assert isinstance(last.op, CopyInstruction) and last.op.destination == "/[]"
    assert last.metadata[0].flags == (("unset", "APP_V"),)
    assert planned("FROM b:1\nARG OLD=$PATH\nARG OLD=1\nENV PATH=/x\nRUN x\n").metadata[0].flags == ()
    (line,) = refused("FROM b:1\nENV A=$X\nARG OLD=$A\nENV A=1\nRUN x\n")
    assert line.startswith("Dockerfile:4: ENV: it replaces $A, for which the ARG OLD waits. Give the ARG a value")


def test_values_that_wait_for_each_other_end() -> None:
    doubling = "".join(f"ARG A{n + 1}=$A{n}$A{n}\n" for n in range(300))
    lines = refused(f"FROM b:1\nARG A0=$X\n{doubling}RUN x\n")
    assert "wait for each other" in lines[0] and len(lines) == 1


# --- variables that nobody defines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["b:1", "scratch"])
def test_an_argument_from_before_from_is_empty_where_it_is_not_repeated(told: Told, base: str) -> None:
    last = told.plan(f"ARG DIR=conf\nFROM {base}\nCOPY ${{DIR}}/app.ini /etc/\n")
    assert [root for root, _ in last.inputs["files"][0]] == ["app.ini"]
    (warning,) = told.warnings
    assert warning.startswith("Dockerfile:3: `$DIR` is not defined in this target, and empty")
    assert "(UndefinedVar). Write `ARG DIR` after its FROM" in warning
    repeated = f"ARG DIR=conf\nFROM {base}\nARG DIR\nCOPY ${{DIR}}/app.ini /etc/\n"
    assert [root for root, _ in planned(repeated, FILES).inputs["files"][0]] == ["conf/app.ini"]


def test_where_the_files_are_elsewhere_it_is_said_to_repeat_the_argument() -> None:
    (line,) = refused("ARG DIR=conf\nFROM b:1\nCOPY ${DIR}/gone.ini app-$TARGETARCH /etc/\n", args={"DIR": "conf"})
    assert line.startswith("Dockerfile:3: The source '${DIR}/gone.ini' uses $DIR, which has a value only before")
    assert "Write `ARG DIR` after the FROM of this target" in line


@pytest.mark.parametrize("platform", ["$P", "${P}", "$P$Q"])
def test_a_platform_without_a_value_names_its_argument(platform: str) -> None:
    (line,) = refused(f"ARG P\nARG Q\nFROM --platform={platform} b:1\nRUN x\n")
    assert line.startswith(f"Dockerfile:3: --platform={platform} is empty. Give its ARG a default")
    assert 'args: {P: "…"' in line


def test_predefined_arguments_are_such_arguments(told: Told) -> None:
    told.plan("FROM b:1\nRUN --mount=type=cache,id=go-$TARGETPLATFORM,target=/c x\n")
    assert "Write `ARG TARGETPLATFORM` after its FROM" in told.warnings[0]


def test_a_variable_that_nobody_defines_is_empty_with_docker_s_warning(told: Told) -> None:
    last = told.plan("FROM scratch\nCOPY ${X}a /$Y\nENV Z=[$X]\nARG W\nLABEL l=$W\n")
    assert last.parent is not None and last.parent.inputs["sources"] == ["a"]
    assert [line.partition(": ")[0] for line in told.warnings] == ["Dockerfile:2", "Dockerfile:2", "Dockerfile:3"]
    assert told.warnings[0] == "Dockerfile:2: Usage of undefined variable `$X`, which is empty (UndefinedVar)."


def test_what_only_the_base_may_have_is_taken_for_empty_where_the_context_is_read(told: Told) -> None:
    last = told.plan("FROM b:1\nCOPY ${X}a /d/\n")
    assert isinstance(last.op, CopyInstruction) and last.op.unset == ("X",)
    assert last.checksum != planned("FROM b:1\nCOPY a /d/\n", FILES).checksum
    assert "`$X`, which is empty (UndefinedVar); a base that sets it is refused." in told.warnings[0]
    mounted = told.plan("FROM b:1\nRUN --mount=source=${X}conf,target=/c x\n").op
    assert isinstance(mounted, RunInstruction) and mounted.unset == ("X",)
    # Where nothing would be there, the base has to be meant.
    for text in ("COPY $X/none /d/", "COPY ${X:?} /d/", "ENV Y=$X\nCOPY ${Y}a /d/"):
        assert "which the Dockerfile does not define before this line" in refused(f"FROM b:1\n{text}\n")[0]


def test_a_build_says_what_no_base_defines(repo: servers.Repository, lineal: Lineal, base_image: str) -> None:
    text = f"FROM {base_image}\nARG DECLARED\nENV A=$PATH$NOPE B=$DECLARED\nCOPY a /$NOPE/$OTHER\n"
    repo.write({"Dockerfile": text, "a": "a"})
    done = lineal("build", "--repo", "layout:store")
    warnings = [line for line in done.stderr.splitlines() if "UndefinedVar" in line]
    assert done.code == 0 and warnings == [
        f"warning: Dockerfile:4: Usage of undefined variable `${name}`, which is empty (UndefinedVar)."
        for name in ("NOPE", "OTHER")
    ]


# --- arguments that nothing takes -----------------------------------------------------------------------------------


def test_arguments_that_no_arg_takes_are_one_note(told: Told) -> None:
    args = {"VERSION": "1", "PYTHN": "3", "PYTHON": "3", "TARGETARCH": "arm"}
    told.plan("FROM b:1\nARG PYTHON\n", args=args)
    assert told.notes == [
        "lineal.yaml: images.app.args: Dockerfile has no ARG for VERSION, PYTHN, so nothing takes them. "
        "Did you mean PYTHON for PYTHN?"
    ]


def test_arguments_of_buildkit_have_their_own_words(told: Told) -> None:
    args = {"BUILDKIT_INLINE_CACHE": "1", "SOURCE_DATE_EPOCH": "0", "BUILDKIT_SYNTAX": "x", "DOCKER_BUILDKIT": "1"}
    told.plan("FROM b:1\n", args=args)
    (note,) = told.notes
    assert note.startswith("lineal.yaml: images.app.args: BUILDKIT_INLINE_CACHE, SOURCE_DATE_EPOCH, ")
    assert "would be for BuildKit itself; Lineal has no use for them. Write source_date_epoch beside" in note
    # One that the Dockerfile asks for is an argument like others.
    told.notes.clear()
    told.plan("FROM b:1\nARG SOURCE_DATE_EPOCH\n", args={"SOURCE_DATE_EPOCH": "0"})
    assert told.notes == []


def test_arguments_that_nothing_takes_are_in_no_checksum() -> None:
    assert planned("FROM b:1\nRUN x\n", args={"VERSION": "1"}).checksum == planned("FROM b:1\nRUN x\n").checksum


# --- everything in one run ------------------------------------------------------------------------------------------

WRONG = """\
FROM b:1 AS tools
COPY nope none a /d/
EXPOSE 99999
FROM --platform=linux/ c:1 AS other
COPY --from=tools /x /y
ENV A=${B:?}
COPY $A/x /d/
FROM d:1
RUN --mount=source=gone,target=/a --mount=source=lost,target=/b x
COPY --from=other /x /y
COPY --from=tools --chmod=rwx /x /y
STOPSIGNAL nothing
"""


def test_everything_that_is_wrong_is_said_in_the_order_of_its_lines() -> None:
    lines = refused(WRONG)
    assert [line.partition(": ")[0] for line in lines] == [
        f"Dockerfile:{line}" for line in (2, 2, 3, 4, 7, 9, 9, 11, 12)
    ], lines  # fmt: skip
    assert "'nope'" in lines[0] and "'none'" in lines[1] and "lost" in lines[6]


def test_what_follows_from_another_mistake_is_not_said() -> None:
    text = "FROM scratch\nENV A=${B:?}\nENV C=$A\nCOPY ${A}x /\nCOPY $C/y /\nCOPY gone /\n"
    text += "ARG D=${B:?}\nCOPY $D/z /\n"
    assert [line.partition(": ")[0] for line in refused(text)] == ["Dockerfile:2", "Dockerfile:6", "Dockerfile:7"]
    text = "FROM scratch AS x\nCOPY gone /\nFROM b:1\nCOPY --from=x /gone /\n"
    assert [line.partition(": ")[0] for line in refused(text)] == ["Dockerfile:2"]


def test_mistakes_before_the_targets_are_said_together() -> None:
    lines = refused("RUN x\nARG A=${B:?}\nFROM b:1 AS 1x\nFROM b:1 too many\n")
    assert [line.partition(": ")[0] for line in lines] == [f"Dockerfile:{n}" for n in (1, 2, 3, 4)]


def test_all_lines_that_cannot_be_read_are_said() -> None:
    lines = refused('FROM b:1\nNOPE x \\\n  and more\nENV A\nRUN x\nCMD ["a", 1]\nNO\nLABEL b\n')
    assert [line.partition(": ")[0] for line in lines] == [f"Dockerfile:{n}" for n in (2, 4, 6, 7, 8)], lines
    assert [line.partition(": ")[0] for line in refused("FROM b:1\nNOPE\nRUN <<E\nENV A\n")] == [
        "Dockerfile:2", "Dockerfile:3",
    ]  # fmt: skip


def test_what_is_wrong_beside_a_line_that_cannot_be_read_is_said_too() -> None:
    lines = refused("FROM b:1\nCOPY gone /\nRUNN x\nENTRYPOIN y \\\n  z\nHEALTHCHECK x\nCOPY lost /\nENV\n")
    assert [line.partition(": ")[0] for line in lines] == [f"Dockerfile:{n}" for n in (2, 3, 4, 6, 7, 8)], lines


@pytest.mark.parametrize("line", ["EVN A=a", "ENV A", "AGR A=a", "FORM b:2 AS x", "ARGS A=a"])
def test_what_rests_on_a_line_that_cannot_be_read_is_not_said(line: str) -> None:
    lines = refused(f"FROM b:1\n{line}\nCOPY $A /\nCOPY --from=x /y /\nCOPY gone /\n")
    assert [line.partition(": ")[0] for line in lines] == ["Dockerfile:2"]
    assert len(refused("NOPE x\nRUN y\n")) == 1


def test_a_run_of_mistakes_without_end_is_cut() -> None:
    lines = refused("FROM b:1\n" + "".join(f"COPY gone{n} /\n" for n in range(500)))
    assert len(lines) == 100


def test_every_base_without_a_value_is_named_with_the_lines_to_paste() -> None:
    lines = refused("ARG A\nARG B\nFROM $A AS a\nRUN x\nFROM $B\nCOPY --from=a /x /y\n")
    assert [line.partition(": ")[0] for line in lines] == ["Dockerfile:3", "Dockerfile:5"]
    assert 'a value in lineal.yaml: `images: {app: {args: {A: "…"}}}`.' in lines[0]


BROKEN = """\
project: shop
images:
  one: {}
  two: {dockerfile: 2.Dockerfile, needs: {ONE: one}}
  three: {dockerfile: 3.Dockerfile}
"""


def test_the_mistakes_of_all_images_are_said_in_one_run(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({
        "lineal.yaml": BROKEN, "Dockerfile": "FROM b:1\nCOPY gone /\nCOPY lost /\n",
        "2.Dockerfile": "ARG ONE\nFROM $ONE\nEXPOSE x\n",
    })  # fmt: skip
    done = lineal("plan", "--repo", "layout:store", "--report", "report.json")
    assert done.code == 3
    places = [line.removeprefix("Error: ") for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.partition(": ")[0] for line in places] == [
        "Dockerfile:2", "Dockerfile:3", "2.Dockerfile:3", "lineal.yaml:5",
    ]  # fmt: skip
    assert [line[-9:] for line in places] == ["[LN-2009]", "[LN-2009]", "[LN-2002]", "[LN-3015]"]


def test_each_mistake_is_shown_beside_its_line(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"Dockerfile": "FROM b:1\nCOPY gone /\nCOPY lost /\n"})
    lineal.env |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(repo.path / "page.md")}
    done = lineal("plan", "--repo", "layout:store")
    assert [line.partition("::COPY")[0] for line in done.stderr.splitlines() if line.startswith("::error")] == [
        "::error file=Dockerfile,line=2", "::error file=Dockerfile,line=3",
    ]  # fmt: skip
    page = (repo.path / "page.md").read_text()
    assert "Dockerfile&#58;2" in page and "Dockerfile&#58;3" in page


def test_everything_that_is_wrong_with_lineal_yaml_is_said(repo: servers.Repository, lineal: Lineal) -> None:
    text = "project: Shop\nimage: {}\nimages:\n  a: {contxt: x, args: {V: 3.13, W: 4}}\n  b: {context: [x]}\n"
    repo.write({"lineal.yaml": text, "Dockerfile": "FROM b:1\n"})
    done = lineal("plan", "--repo", "layout:store")
    wrong = [line.partition(": The")[0] for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert (done.code, len(wrong)) == (3, 6)
    assert [line.split(":")[2] for line in wrong] == ["1", "2", "4", "4", "4", "5"]
    repo.write({"lineal.yaml": "project: s\nimages:\n  a: {context: /x}\n  b: {needs: {A: z}}\nlock: nothing\n"})
    done = lineal("plan", "--repo", "layout:store")
    assert [line.split(":")[2] for line in done.stderr.splitlines() if line.startswith("Error: ")] == ["3", "4", "5"]


# --- the smaller ones -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base", ["mcr.microsoft.com/windows/nanoserver:ltsc2022", "mcr.microsoft.com/windows:20H2",
             "golang:1.26-nanoserver", "mcr.microsoft.com/dotnet/framework/sdk:4.8",
             "python:3.13-windowsservercore-ltsc2022",
             "mcr.microsoft.com/dotnet/runtime:9.0-nanoserver-ltsc2025"]
)  # fmt: skip
def test_a_base_of_windows_is_refused_by_name(base: str) -> None:
    (line,) = refused(f"# escape=`\nFROM {base}\nRUN powershell -Command x\n")
    assert line.startswith(f"Dockerfile:2: '{base}' is an image of Windows, and Lineal builds images of Linux.")


def test_a_program_of_windows_is_noted(told: Told) -> None:
    told.plan('# escape=`\nARG BASE=b:1\nFROM ${BASE}\nSHELL ["powershell", "-Command"]\nRUN cmd /c x\nRUN pwsh x\n')
    assert [line.partition(" is")[0] for line in told.warnings] == [
        "Dockerfile:4: `powershell`",
        "Dockerfile:5: `cmd`",
    ]


@pytest.mark.parametrize(
    "base", ["windows-exporter:1", "me/windowsill:2", "x:windows-exporter", "mcr.microsoft.com/dotnet/sdk:9.0"]
)
def test_other_bases_are_of_linux(base: str) -> None:
    assert planned(f"FROM {base}\n")


def test_a_target_may_be_for_another_platform() -> None:
    last = planned("FROM --platform=arm64 b:1 AS tool\nFROM c:1\nCOPY --from=tool /x /x\n")
    assert [last.sources["tool"].platform, last.platform] == ["linux/arm64", "linux/amd64"]


def test_a_plan_in_a_directory_names_no_registry(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"Dockerfile": "FROM scratch\n"})
    done = lineal("plan", "--repo", "layout:store")
    assert done.code == 0 and "1 image, 1 stage" in done.stdout and "registry" not in done.stdout


def test_a_plan_notes_what_is_not_pinned_as_long_as_it_is_to_be_built(
    repo: servers.Repository, lineal: Lineal
) -> None:
    repo.write({"Dockerfile": f"FROM scratch\nADD {URL} /d/\n"})
    done = lineal("plan", "--repo", "layout:store")
    assert done.code == 0 and f"Dockerfile:2: {URL} is not pinned" in done.stderr
    repo.write({"lineal-giterminism.yaml": "dockerfile: {unpinned: ['https://example.com/**']}"})
    assert "is not pinned" not in lineal("plan", "--repo", "layout:store").stderr


def test_a_dockerfile_of_hostile_variables_ends() -> None:
    text = "FROM scratch\nENV A=x\n" + "ENV A=$A:$B\n" * 400 + "RUN x\n"
    assert len(closure([planned(text)])) == 1


PIECES = [
    "FROM b:1", "FROM scratch AS s", "FROM $A", "FROM s AS t", "ARG A", "ARG A=$B", "ARG B=${A:-$C}x", "ENV A=$A:$B",
    "ENV B=${A:?}", "COPY a /", "COPY $A /$B", "COPY ${A}a /", "COPY --from=s / /x/", "COPY --from=s $A /x",
    "COPY --from=t --chmod=$A --link --chown=$B a b", "COPY --parents --exclude=$A . /d", "ADD http://$A/x /d",
    "ADD https://e.com/$A.git#$B /d", "ADD --checksum=$A https://e.com/x /d", "ADD http://127.0.0.1/x /d",
    "RUN --mount=type=cache,id=$A,target=/c x", "RUN --mount=from=s,source=$A,target=$B x",
    "RUN --mount=source=$A,target=/c x", "LABEL $A=$B", "WORKDIR $A", "USER $B", "EXPOSE $A", "ONBUILD COPY $A /",
    "ONBUILD RUN x", "NOPE", "COPY", "ARG", "COPY <<E /x\n$A\nE", "# escape=`", 'SHELL ["cmd"]', "STOPSIGNAL $A",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from(["", "x", "../a", "$B", "a b"]))
@example(lines=["NOPE", "FROM $A"], value="../a")
def test_any_dockerfile_is_planned_or_refused_with_lines_in_order(lines: list[str], value: str) -> None:
    told = Told()
    try:
        told.plan("\n".join(["ARG A B", *lines, ""]), args={"A": value, "C": value})
    except BadConfiguration as error:
        numbers = [one.place.line or 0 for one in error.every() if one.place and one.place.file == "Dockerfile"]
        assert numbers == sorted(numbers) and len(numbers) == len(error.every())
        # A Dockerfile's, or that of a reference in it.
        assert all(one.id.startswith(("LN-2", "LN-4002")) and str(one).isprintable() for one in error.every()[1:])
