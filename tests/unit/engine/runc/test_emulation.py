"""Which other platforms this machine executes, by what the kernel has registered."""

from __future__ import annotations

from pathlib import Path

from lineal.engine.runc.emulation import emulated, machine


def test_only_emulators_that_are_on_and_need_no_file_of_the_container_count(tmp_path: Path) -> None:
    for name, state, flags in (
        ("qemu-aarch64", "enabled", "POCF"), ("qemu-s390x", "disabled", "F"), ("qemu-arm", "enabled", "PC"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"{state}\ninterpreter /usr/bin/{name}\nflags: {flags}\noffset 0\n")
    (tmp_path / "python3").write_text("enabled\n")
    assert emulated(tmp_path) == ["linux/arm64"] and emulated(tmp_path / "absent") == []


def test_the_machine_executes_its_own_programs() -> None:
    assert machine().how(machine().own) == "native"
