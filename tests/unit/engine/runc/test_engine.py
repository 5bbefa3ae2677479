"""What Docker's engine passes, with runc; and what is its own."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lineal.engine import Command, CommandFailed, RunOptions
from lineal.engine.runc.run_directory import RunDirectory
from lineal.errors import Interrupted
from lineal.oci.types import Image
from tests.unit.engine.docker.conftest import (
    Bench,
    MemoryStore,
    base_tar,
    contents_of,
    directory,
    entries_of,
    regular,
    tar_of,
)
from tests.unit.engine.docker.test_engine import (
    NASTY,
    shape,
    test_a_command_has_no_privileges,
    test_a_command_without_effect_gives_an_empty_layer,
    test_a_failing_command_tells_its_status,
    test_a_long_line_and_many_lines_arrive_whole,
    test_a_missing_program_fails_like_in_a_shell,
    test_a_missing_work_directory_is_made_and_an_existing_one_left_alone,
    test_a_preparation_ends_with_the_run,
    test_a_preparation_that_a_command_overtakes_is_waited_for,
    test_a_program_for_another_machine_is_said,
    test_a_stage_whose_layer_is_gone_says_so,
    test_a_user_by_name_runs_the_command,
    test_a_work_directory_behind_a_link_is_made_where_the_link_leads,
    test_a_working_directory_over_a_file_is_no_failure_of_the_engine,
    test_all_made_directories_of_a_work_directory_have_its_owner,
    test_an_error_in_the_caller_s_output_leaves_nothing,
    test_an_unknown_user_is_said,
    test_file_capabilities_are_kept,
    test_no_network_means_only_loopback_and_host_means_the_host_s,
    test_only_the_user_s_own_host_name_is_in_the_environment,
    test_options_are_the_commands_and_leave_nothing,
    test_so_have_those_that_a_mount_hides,
    test_the_engine_s_own_files_are_not_in_the_layer,
    test_the_image_s_own_hostname_file_is_seen_and_can_be_removed,
    test_user_directory_host_name_and_environment_are_the_command_s_alone,
    test_what_was_prepared_is_not_read_again,
)

from .conftest import left, opened

__all__ = [name for name in dir() if name.startswith("test_")]


@pytest.mark.parametrize("again", [False, True], ids=["its own directory", "unpacked"])
def test_the_next_command_sees_what_the_image_has(
    bench: Bench, root: Path, base: tuple[MemoryStore, Image], again: bool
) -> None:
    """The upper directory as the next one's lower, and the layer's tar on another machine, are the same files."""
    look = "cd / && ls -laRn data n moved bin/sh etc/passwd; cat /n/link /n/zlink; ls -A /data/deep"
    first = bench.run(NASTY)
    found = entries_of(first)
    child = bench.store.child(bench.base, first)
    assert {"data/.wh.gone", "data/deep/.wh..wh..opq", ".wh.tmp", "n/bad\udcffname"} <= found.keys()
    assert not [name for name in found if name.startswith("n/") and name.endswith(".opq")], "nothing is hidden there"
    assert found["data/b"].mode == 0o4755 and found["n/\u00e9"].gid == 70000
    if again:
        other = opened(root)
        try:
            bench.engine = other  # type: ignore[assignment]
            bench.run(look, parent=child)
        finally:
            other.close()
    else:
        bench.store.read.clear()
        bench.run(look, parent=child)
        assert bench.store.read == [], "the engine has its layers"
    seen = [shape(line) for line in bench.said if not line.startswith("total")]
    assert ["new"] in seen and ["d"] in seen and [line for line in seen if line[-1:] == ["z"]]
    _AGREE.append(seen)
    assert all(one == _AGREE[0] for one in _AGREE)


_AGREE: list[list[list[str]]] = []


def test_whiteouts_of_images_and_of_commands_hide_what_they_name(bench: Bench) -> None:
    odd = tar_of(directory("data"), regular("data/.wh.a", b""), regular("data/kept", b""))
    child = bench.store.image([base_tar(), odd])
    layer = bench.run("ls /data; touch /data/.wh.kept", parent=child)
    assert bench.said == ["b", "deep", "gone", "kept"]
    # In an image, such a name is a deletion, so here the next command must not find it as a file.
    assert bench.names("ls -A /data", parent=bench.store.child(child, layer)) == []
    assert bench.said == ["b", "deep", "gone"]


def test_a_directory_that_only_names_of_a_layer_have_is_as_the_layer_below_has_it(bench: Bench) -> None:
    parent = bench.store.image([base_tar(), tar_of(regular("tmp/new", b"x"), regular("data/deep/new", b"x"))])
    bench.run("stat -c %a /tmp /data", parent=parent)
    assert bench.said == ["1777", "755"]


def test_an_image_without_anything_is_a_parent(bench: Bench) -> None:
    busybox = tar_of(regular("sh", Path("/bin/busybox").read_bytes(), 0o755))
    parent = bench.store.image([busybox])
    command = Command(["/sh", "-c", "echo hi"], {}, "/w", "", existing=lambda _: False)
    layer = bench.engine.run(parent, bench.store, command, bench.said.append, bench.workspace)
    assert bench.said == ["hi"] and sorted(entries_of(layer)) == ["dev", "proc", "sys", "w"]


def test_a_control_group_is_the_parent_of_the_commands_and_is_gone(bench: Bench) -> None:
    group = f"lineal-test-{time.time_ns()}"
    seen: list[Path] = []

    class Looking(list[str]):
        """Lets the command end once it has been seen."""

        def append(self, line: str) -> None:
            if line != "x":
                return  # what a shell says of its end
            places = (Path(place) for place, _, _ in os.walk("/sys/fs/cgroup"))  # those of others may go meanwhile
            seen.extend(place for place in places if place.parent.name == group and place.name.startswith("lineal-"))
            for number in {number for place in seen for number in (place / "cgroup.procs").read_text().split()}:
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGTERM)

    bench.said = Looking()
    script = "trap 'exit 0' TERM; echo x; while true; do sleep 0.1; done"
    bench.run(script, options=RunOptions(cgroup_parent=group))
    assert seen and not [place for place in seen if place.exists()]
    for place in {one.parent for one in seen}:
        place.rmdir()


def test_devices_of_the_machine_are_out_of_reach(bench: Bench) -> None:
    bench.run(
        "dd if=/dev/zero of=/dev/null count=1 2>&1; grep Cap /proc/self/status; grep Seccomp: /proc/self/status"
    )
    assert "CapEff:\t00000000a80425fb" in bench.said and "Seccomp:\t2" in bench.said
    with pytest.raises(CommandFailed):
        bench.run("busybox mknod /data/disk b 254 0 && head -c 1 /data/disk")


@pytest.mark.parametrize("script", ["sleep 600", "sleep 600 & echo; trap '' TERM INT; wait", "seq 1 99999999"])
def test_a_stop_kills_what_runs(base: tuple[MemoryStore, Image], tmp_path: Path, script: str) -> None:
    engine = opened(tmp_path / "root")
    bench = Bench(engine, None, *base, tmp_path)  # type: ignore[arg-type]
    timer = threading.Timer(1.0, engine.stop)
    timer.start()
    with pytest.raises(Interrupted):
        bench.run(script)
    with pytest.raises(Interrupted):
        bench.run("true")
    engine.close()
    assert left(tmp_path / "root") == set() and not list(tmp_path.glob("*.gz"))


def test_a_stop_while_the_engine_looks_around_counts(
    base: tuple[MemoryStore, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(tmp_path / "root")
    bench = Bench(engine, None, *base, tmp_path)  # type: ignore[arg-type]
    monkeypatch.setattr(RunDirectory, "sweep", lambda *_: engine.stop())
    with pytest.raises(Interrupted):
        bench.run("sleep 600")
    engine.close()


def test_two_commands_that_are_equal_both_run(bench: Bench) -> None:
    first, second = (bench.run("head -c 8 /dev/urandom >/data/x") for _ in "12")
    assert contents_of(first) != contents_of(second)
    assert gzip.decompress(first.path.read_bytes())
