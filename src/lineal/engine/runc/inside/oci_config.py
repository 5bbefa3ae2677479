"""The configuration that an OCI runtime gets (runtime-spec, config.md): a container as Docker's default, less what
this machine cannot give."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any

from lineal.engine.runc.inside.accounts import Account

HOSTNAME = "buildkitsandbox"
"""BuildKit's host name for containers; some packages write it into their files."""
_SHM = 64 << 20
_MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", {"amd64", "x32"}),
    "aarch64": ("SCMP_ARCH_AARCH64", {"arm64"}),
    "riscv64": ("SCMP_ARCH_RISCV64", {"riscv64"}),
    "s390x": ("SCMP_ARCH_S390X", {"s390x"}),
    "ppc64le": ("SCMP_ARCH_PPC64LE", {"ppc64le"}),
    "loongarch64": ("SCMP_ARCH_LOONGARCH64", {"loong64"}),
}
_CAPABILITIES = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6,
    "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27, "CAP_AUDIT_WRITE": 29, "CAP_SETFCAP": 31,
}  # fmt: skip
"""Docker's default (moby, `oci/caps`), with their numbers."""
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PLAIN = ["nosuid", "noexec", "nodev"]


def capabilities(*, devices: bool) -> list[str]:
    """Docker's, as far as this process could hand them on; `devices`: something keeps the machine's devices apart."""
    bound = int(next(line for line in open("/proc/self/status") if line.startswith("CapBnd")).split()[1], 16)  # noqa: SIM115
    return [
        name for name, number in _CAPABILITIES.items() if bound >> number & 1 and (devices or name != "CAP_MKNOD")
    ]


def config(
    command: Mapping[str, Any],
    account: Account,
    mounts: Sequence[dict[str, Any]],
    *,
    root: str,
    cgroup: str,
    rootless: bool,
) -> dict[str, Any]:
    """`cgroup` is the path of its control group, empty where there can be none."""
    held = capabilities(devices=bool(cgroup))
    own_network = command["network"] == "none"
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
        "seccomp": seccomp(held),
    }
    if own_network:
        linux["namespaces"].append({"type": "network"})
    if cgroup:
        linux["namespaces"].append({"type": "cgroup"})
        linux["cgroupsPath"] = cgroup
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    own = _system_mounts(command["shm"] or _SHM, own_network=own_network or not rootless, cgroup=bool(cgroup))
    return {
        "ociVersion": "1.0.2",
        "hostname": HOSTNAME,
        "root": {"path": root, "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": account.uid, "gid": account.gid, "additionalGids": list(account.groups)},
            "args": command["argv"],
            "env": [f"{name}={value}" for name, value in command["env"].items()],
            "cwd": command["workdir"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), held),
            "rlimits": [_limit(*limit) for limit in command["ulimits"]],
            "noNewPrivileges": False,
        },
        "mounts": [*own, *mounts],
        "linux": linux,
    }


def _system_mounts(shm: int, *, own_network: bool, cgroup: bool) -> list[dict[str, Any]]:
    def entry(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
        return {"destination": target, "type": kind, "source": source, "options": list(options)}

    # The kernel shows a user namespace only the devices of a network that is its own.
    sysfs = entry("/sys", "sysfs", "sysfs", *_PLAIN, "ro") if own_network else (
        entry("/sys", "bind", "/sys", *_PLAIN, "rbind", "ro")
    )  # fmt: skip
    return [
        entry("/proc", "proc", "proc", *_PLAIN),
        entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        entry("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        entry("/dev/shm", "tmpfs", "shm", *_PLAIN, "mode=1777", f"size={shm}"),  # noqa: S108
        entry("/dev/mqueue", "mqueue", "mqueue", *_PLAIN),
        sysfs,
        *([entry("/sys/fs/cgroup", "cgroup", "cgroup", *_PLAIN, "relatime", "ro")] if cgroup else []),
    ]


def _limit(name: str, soft: int, hard: int) -> dict[str, Any]:
    unlimited = (1 << 64) - 1
    return {
        "type": f"RLIMIT_{name.upper()}",
        "soft": unlimited if soft < 0 else soft,
        "hard": unlimited if hard < 0 else hard,
    }


def seccomp(held: Collection[str]) -> dict[str, Any]:
    """Docker's default profile, for these capabilities on this machine."""
    profile = json.loads((files("lineal.engine.runc") / "seccomp" / "default.json").read_bytes())
    machine, names = _MACHINES.get(platform.machine(), ("", set[str]()))
    known = next((one for one in profile["archMap"] if one["architecture"] == machine), None)
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [known["architecture"], *(known["subArchitectures"] or ())] if known else [],
        "syscalls": [
            {key: rule[key] for key in ("names", "action", "errnoRet", "args") if key in rule}
            for rule in profile["syscalls"]
            if _applies(rule.get("includes", {}), held, names, every=True)
            and not (rule.get("excludes") and _applies(rule["excludes"], held, names, every=False))
        ],
    }


def _applies(condition: Mapping[str, Any], held: Collection[str], machines: Collection[str], *, every: bool) -> bool:
    """Whether the conditions of a rule are true, all of them or any."""
    found = [capability in held for capability in condition.get("caps", ())]
    if "arches" in condition:
        found.append(any(one in machines for one in condition["arches"]))
    if "minKernel" in condition:
        release = os.uname().release.split("-")[0].split(".")
        found.append([int(part) for part in release[:2]] >= [int(part) for part in condition["minKernel"].split(".")])
    return all(found) if every else any(found)
