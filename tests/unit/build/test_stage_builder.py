"""Making one stage: what the engine is given, what the config becomes, and what a base may look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineal.build.proxies import JobProxies
from lineal.dockerfile.scope import DEFAULT_PATH
from lineal.dockerfile.stage import Stage
from lineal.engine import BindMount, CacheMount, Command, Directory, RunOptions, SecretMount, SshMount, TmpfsMount
from lineal.errors import BadConfiguration, BuildFailed, LinealError, Unreachable
from lineal.oci.image import read_image
from lineal.oci.types import OCI_MANIFEST, Blob, Manifest
from lineal.store.layout import Layout
from lineal.store.record import image_digest
from tests.unit.assemble.oracle import put_layer
from tests.unit.build.factory import Factory
from tests.unit.stages.workbench import Files, planned

FILES: Files = {"a": "a", "dir/b": "b"}


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


def build(factory: Factory, text: str, **options: Any) -> Stage:
    last = planned(text, FILES, **options)
    factory.run({"app": last})
    return last


def command(factory: Factory, text: str, **options: Any) -> Command:
    """What the engine is given for the last RUN."""
    build(factory, text, **options)
    return factory.engine.commands[-1]


def document(factory: Factory, text: str, **options: Any) -> dict[str, Any]:
    """The image config at the end."""
    last = planned(text, FILES, **options)
    candidate = factory.run({"app": last}).candidate(last)
    assert candidate is not None
    return read_image(factory.store, image_digest(candidate.index), "linux/amd64").config_json


def env(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config["config"]["Env"])


def test_only_what_a_command_made_at_a_time_of_its_own_is_new_to_the_store(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers: list[Blob] = []

    def put_blob(blob: Blob) -> None:
        layers.extend([blob] if isinstance(blob.content, Path) else [])
        Layout.put_blob(factory.store, blob)

    monkeypatch.setattr(factory.store, "put_blob", put_blob)
    build(factory, "FROM base:base\nCOPY a ./\nRUN one\n")
    assert [blob.new for blob in layers] == [False, True]
    environment = replace(factory.environment(), options={"app": RunOptions(epoch=1)})
    monkeypatch.setattr(factory, "environment", lambda: environment)
    build(factory, "FROM base:base\nCOPY a ./\nRUN two\n")
    assert [blob.new for blob in layers[2:]] == [False]


# --- RUN --------------------------------------------------------------------------------------------------------


def test_a_run_sees_its_shell_user_directory_and_variables(factory: Factory) -> None:
    factory.base_with({"Env": ["PATH=/base", "HOME=/h"], "User": "7", "WorkingDir": "/w"}, "1")
    given = command(
        factory,
        'FROM b:1\nENV A=1 P=$HOME/p\nARG B=2\nWORKDIR sub\nSHELL ["/sh", "-e", "-c"]\nRUN --network=none x  y\n',
    )
    assert given.argv == ["/sh", "-e", "-c", "x  y"]
    assert given.env == {"PATH": "/base", "HOME": "/h", "A": "1", "P": "/h/p", "B": "2"}
    assert (given.workdir, given.user, given.network) == ("/w/sub", "7", "none")
    assert given.directories == [Directory("/w", 0o755, 7, 7), Directory("/w/sub", 0o755, 7, 7)]


def test_a_run_in_exec_form_has_no_shell(factory: Factory) -> None:
    assert command(factory, 'FROM base:base\nRUN ["x", "$A"]\n').argv == ["x", "$A"]


def test_the_shell_of_the_base_is_used(factory: Factory) -> None:
    factory.base_with({"Shell": ["/bin/ash", "-c"]}, "1")
    assert command(factory, "FROM b:1\nRUN x\n").argv == ["/bin/ash", "-c", "x"]


def test_an_open_variable_keeps_the_value_of_its_line(factory: Factory) -> None:
    factory.base_with({"Env": ["B=base"]}, "1")
    text = "FROM b:1\nENV A=$B\nRUN one\nENV B=new\nENV C=$A\nRUN two\n"
    given = command(factory, text)
    assert (given.env["A"], given.env["B"], given.env["C"]) == ("base", "new", "base")


def test_an_argument_hides_a_variable_of_the_config(factory: Factory) -> None:
    text = "FROM base:base\nENV A=env\nARG A=arg\nRUN x\n"
    assert command(factory, text).env["A"] == "arg"
    assert env(document(factory, text))["A"] == "env"


def test_proxies_reach_the_command_and_nothing_else(factory: Factory) -> None:
    factory.proxies = JobProxies({"HTTP_PROXY": "http://proxy:1", "OTHER": "x"})
    text = "FROM base:base\nRUN x\n"
    given = command(factory, text)
    assert given.env["HTTP_PROXY"] == "http://proxy:1"
    assert not {"OTHER", "FTP_PROXY"} & given.env.keys()
    assert "proxy" not in str(document(factory, text))


def test_secrets_reach_the_command_and_nothing_else(factory: Factory) -> None:
    factory.secrets.values = {"s": b"hush", "t": b"token"}
    mounts = "--mount=type=secret,id=s,uid=7 --mount=type=secret,id=t,env=T --mount=type=secret,id=not-given"
    text = f"FROM base:base\nRUN {mounts} x\n"
    given = command(factory, text)
    assert given.mounts == [SecretMount("/run/secrets/s", b"hush", 0o400, 7, 0)]
    assert given.env["T"] == "token"
    config = str(document(factory, text))
    assert "token" not in config and "hush" not in config


def test_what_a_command_prints_is_masked(factory: Factory) -> None:
    factory.secrets.values = {"s": b"hush"}
    build(factory, "FROM base:base\nRUN --mount=type=secret,id=s say hush\n")
    assert factory.told.lines == ["running say ***"]


def test_a_required_secret_that_is_not_given_is_named_with_its_line(factory: Factory) -> None:
    with pytest.raises(BadConfiguration, match=r"^Dockerfile:2: The secret 's' is required .*--secret id=s"):
        build(factory, "FROM base:base\nRUN --mount=type=secret,id=s,required x\n")


def test_mounts_reach_the_engine_as_values(factory: Factory) -> None:
    given = command(
        factory,
        "FROM base:base\nWORKDIR /w\nRUN --mount=source=dir,target=d --mount=source=a,target=/f,rw "
        "--mount=type=cache,target=c,sharing=locked --mount=type=tmpfs,target=/t,size=9 x\n",
    )
    folder, file, cache, tmpfs = given.mounts
    assert isinstance(folder, BindMount) and isinstance(file, BindMount)
    assert (folder.target, folder.single, folder.writable) == ("/w/d", False, False)
    assert (file.target, file.single, file.writable) == ("/f", True, True)
    assert b"b" in b"".join(folder.tar())
    assert isinstance(cache, CacheMount) and (cache.target, cache.id, cache.sharing) == (
        "/w/c", "test, branch main: c", "locked",
    )  # fmt: skip
    assert tmpfs == TmpfsMount("/t", 9)


def test_a_script_is_mounted_where_its_name_says(factory: Factory) -> None:
    given = command(factory, "FROM base:base\nRUN <<script\n#!/bin/x\ndo it\nscript\n")
    assert given.argv == ["/bin/sh", "-c", "/dev/pipes/script"]
    assert isinstance(given.mounts[0], BindMount)
    assert (given.mounts[0].target, given.mounts[0].single) == ("/dev/pipes", False)
    assert b"#!/bin/x\ndo it\n" in b"".join(given.mounts[0].tar())


def test_the_filesystem_of_a_run_is_known_to_what_follows(factory: Factory) -> None:
    given = command(factory, "FROM base:base\nRUN one\nWORKDIR /ran\nRUN two\n")
    assert given.directories == []
    assert given.existing("/ran") and not given.existing("/nowhere")


def test_a_demanded_variable_that_the_base_lacks_is_a_sentence(factory: Factory) -> None:
    with pytest.raises(BuildFailed, match=r"^Dockerfile:3: .*say why"):
        build(factory, "FROM base:base\nENV A=${NOPE:?say_why}\nRUN x\n".replace("say_why", '"say why"'))


def test_a_user_that_cannot_be_looked_up_is_a_sentence(factory: Factory) -> None:
    factory.base_with({}, "1")
    with pytest.raises(BuildFailed, match=r"^Dockerfile:4: USER app: 'app' cannot be looked up"):
        build(factory, "FROM b:1\nUSER app\nWORKDIR /new\nRUN x\n")


def test_both_spellings_of_a_proxy_are_seen_and_no_empty_one(factory: Factory) -> None:
    factory.base_with({"Env": ["PATH=/base"]}, "1")
    factory.proxies = JobProxies({"http_proxy": "http://p:1", "NO_PROXY": "", "OTHER": "x"})
    given = command(factory, "FROM base:1\nRUN x\n").env
    assert given == {"PATH": "/base", "http_proxy": "http://p:1", "HTTP_PROXY": "http://p:1"}


def test_ssh_agents_that_are_configured_are_mounted(factory: Factory) -> None:
    factory.base_with({"Env": ["PATH=/base"]}, "1")
    factory.agents = {"deploy": Path("/agent")}
    mounts = ["type=ssh", "type=ssh,id=deploy,uid=7", "type=ssh,id=deploy,target=k,mode=640"]
    given = command(factory, f"FROM base:1\nRUN {' '.join('--mount=' + mount for mount in mounts)} x\n")
    assert list(given.mounts) == [
        SshMount("/run/buildkit/ssh_agent.1", Path("/agent"), 0o600, 7, 0), SshMount("/k", Path("/agent"), 0o640),
    ]  # fmt: skip
    assert given.env["SSH_AUTH_SOCK"] == "/run/buildkit/ssh_agent.0"
    own = command(factory, "FROM base:1\nENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh x\n").env
    assert own["SSH_AUTH_SOCK"] == "/mine"
    with pytest.raises(BadConfiguration, match="The SSH agent 'default' is required here and not given"):
        build(factory, "FROM base:1\nRUN --mount=type=ssh,required x\n")


def test_what_a_base_leaves_is_not_in_the_config_of_its_user(factory: Factory) -> None:
    factory.base_with({}, "1")
    text = "FROM base:1 AS left\nONBUILD LABEL a=b\nFROM left\nCMD x\n"
    found = document(factory, text)
    assert found["config"].get("OnBuild") is None and found["config"]["Labels"] == {"a": "b"}
    assert [entry["created_by"] for entry in found["history"]][-2:] == ["LABEL a=b", "CMD x"]


# --- bases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [None, {}, {"Env": None}, {"Env": ["A=1"], "Labels": None}])
def test_a_base_without_a_path_gets_the_one_that_docker_gives(
    factory: Factory, config: dict[str, object] | None
) -> None:
    factory.base_with(config, "1", history=None)
    found = env(document(factory, "FROM b:1\nENV X=/x:$PATH\n"))
    assert (found["PATH"], found["X"]) == (DEFAULT_PATH, f"/x:{DEFAULT_PATH}")


def test_a_base_with_a_path_is_taken_over_byte_by_byte(factory: Factory) -> None:
    last = planned("FROM base:base\n")
    candidate = factory.run({"app": last}).candidate(last)
    assert candidate is not None
    taken = read_image(factory.store, image_digest(candidate.index), "linux/amd64")
    base = read_image(factory.bases, "base", "linux/amd64")
    assert (taken.config, [layer.digest for layer in taken.layers]) == (
        base.config, [layer.digest for layer in base.layers],
    )  # fmt: skip


def test_a_base_that_does_not_exist_is_named_with_its_line(factory: Factory) -> None:
    with pytest.raises(BuildFailed, match=r"^Dockerfile:1: The base image nope:none does not exist"):
        build(factory, "FROM nope:none\n")


def test_a_base_with_onbuild_is_refused(factory: Factory) -> None:
    factory.base_with({"OnBuild": ["RUN x"]}, "1")
    with pytest.raises(BadConfiguration, match="ONBUILD"):
        build(factory, "FROM b:1\n")


HOSTILE = [
    {"config": {"digest": "sha256:../../x"}, "layers": []},
    {"config": {"digest": "latest"}, "layers": []},
    {"config": [], "layers": []},
    {"layers": []},
    {"config": {"digest": "sha256:" + "1" * 64}, "layers": [7]},
    {"config": {"digest": "sha256:" + "1" * 64}, "layers": [{"mediaType": "x", "digest": "y", "size": 1}]},
    {
        "config": {"digest": "sha256:" + "1" * 64},
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:../../../etc/x", "size": 1}
        ],
    },
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_base_is_refused_with_a_sentence(factory: Factory, content: dict[str, Any]) -> None:
    manifest = Manifest(json.dumps({"mediaType": OCI_MANIFEST, **content}).encode(), OCI_MANIFEST)
    factory.bases.manifest = lambda _: manifest  # type: ignore[method-assign,assignment]
    with pytest.raises(LinealError) as refused:
        build(factory, "FROM b:1\n")
    assert isinstance(refused.value, Unreachable)
    assert [path.name for path in (factory.folder / "work").iterdir()] == []


# --- layers -----------------------------------------------------------------------------------------------------


def test_assembled_stages_are_equal_on_every_machine(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        factory = Factory(tmp_path / name)
        last = build(factory, "FROM base:base\nWORKDIR /w\nCOPY a dir ./\nENV A=1\nCOPY --chmod=0700 a /b\nCMD x\n")
        candidate = factory.run({"app": last}).candidate(last)
        assert candidate is not None
        digests.append(image_digest(candidate.index))
    assert digests[0] == digests[1]


def test_a_closing_stage_has_a_layer_only_where_a_directory_is_missing(factory: Factory) -> None:
    def layers(text: str) -> int:
        return len(document(factory, text)["rootfs"]["diff_ids"])

    assert layers("FROM base:base\nWORKDIR /tmp\nCMD x\n") == 1
    assert layers("FROM base:base\nWORKDIR /new\nCMD x\n") == 2


def test_the_history_tells_every_instruction(factory: Factory) -> None:
    found = document(factory, "FROM scratch\nENV A=1\nCOPY a /\nCMD x\n")["history"]
    assert [(entry["created_by"], entry.get("empty_layer", False)) for entry in found] == [
        ("ENV A=1", True), ("COPY a /", False), ("CMD x", True),
    ]  # fmt: skip


def test_a_heredoc_becomes_a_file_with_what_only_the_base_knows(factory: Factory) -> None:
    factory.base_with({"Env": ["V=from the base"]}, "1")
    text = "FROM b:1\nCOPY <<one <<'two' /d/\n[$V]\none\n[$V]\ntwo\nRUN --mount=from=0,target=/x true\n"
    with pytest.raises(BadConfiguration):
        build(factory, text)
    last = build(factory, text.replace("RUN --mount=from=0,target=/x true\n", "FROM scratch\nCOPY --from=0 /d /d\n"))
    candidate = factory.run({"app": last}).candidate(last)
    assert candidate is not None
    image = read_image(factory.store, image_digest(candidate.index), "linux/amd64")
    files: dict[str, Any] = {}
    for layer in image.layers:
        put_layer(files, b"".join(factory.store.blob(layer.digest)))
    assert (files["d/one"][-1], files["d/two"][-1]) == (b"[from the base]\n", b"[$V]\n")
