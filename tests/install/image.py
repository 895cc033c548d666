"""Builds the container image with buildah, and runs it in kernel namespaces without Docker.

No image registry is needed. The base image is made of Debian's packages once, and cached outside the clone in
$CAMS_RELAY_CACHE or ~/.cache/cams-relay.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import ROOT

BASE = "localhost/cams-relay-base:bookworm-1"  # another number when its content changes
_PACKAGES = "python3,python3-venv,ca-certificates,tini"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Variables that configure this machine's package clients. The clients in the container need them, too.
_OF_CLIENTS = (
    "PIP_INDEX_URL",
    "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


def _cache() -> Path:
    named = os.environ.get("CAMS_RELAY_CACHE")
    return (Path(named) if named else Path.home() / ".cache" / "cams-relay") / "containers"


def _driver() -> str:
    """Return `overlay` if the kernel supports it on the cache's file system, or else `vfs`, which copies everything."""
    known = "\toverlay\n" in Path("/proc/filesystems").read_text()
    kind = subprocess.run(["stat", "--file-system", "--format=%T", _cache()], capture_output=True, text=True)
    return "overlay" if known and kind.stdout.strip() != "overlayfs" else "vfs"


def buildah(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run buildah with a separate storage, and return its output."""
    assert shutil.which("buildah"), "buildah is not installed: run scripts/install-buildah"
    assert os.getuid() == 0, "Building and entering the container image needs root. Run this test as root"
    driver = _driver()
    storage = ("--root", _cache() / driver, "--runroot", _cache() / "run", "--storage-driver", driver)
    ran = subprocess.run(
        ["buildah", *storage, *arguments],
        cwd=cwd,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"buildah {arguments[0]} failed:\n{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout.strip()


def _has_base() -> bool:
    return BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()


def _make_base() -> None:
    """Build a stand-in for python:slim."""
    tree = _cache() / "base.tar"
    made = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", tree],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, (
        f"The base image could not be made of Debian's packages:\n{made.stderr[-4000:]}"
    )
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, tree, "/")
    tree.unlink()
    if _CERTIFICATES.exists():
        buildah("copy", "--quiet", container, _CERTIFICATES, _CERTIFICATES)
    settings = {name: os.environ[name] for name in _OF_CLIENTS if name in os.environ}
    settings |= {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    settings |= {"PIP_CERT": str(_CERTIFICATES), "SSL_CERT_FILE": str(_CERTIFICATES)}
    for name, value in settings.items():
        buildah("config", "--env", f"{name}={value}", container)
    buildah("commit", "--quiet", "--rm", container, BASE)


@dataclass
class Running:
    """A running container."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def first(self) -> int:
        """Return the PID outside the container of its process 1."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, like `docker exec`."""
        environment = Path(f"/proc/{self.first}/environ").read_text().split("\0")
        enter = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--root", "--wd"]
        enter += ["--setuid=10001", "--setgid=10001"]
        return subprocess.run(
            [*enter, *command],
            env=dict(line.split("=", 1) for line in environment if line),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def stop(self) -> int:
        """Send SIGTERM, like `docker stop`, and return the exit status."""
        os.kill(self.first, signal.SIGTERM)
        return self.process.wait(60)


class Image:
    """An image of the working tree."""

    def __init__(self, name: str) -> None:
        self.name = name
        inspected = json.loads(buildah("inspect", "--type", "image", name))
        self.config: dict[str, Any] = inspected["Docker"]["config"]

    @contextmanager
    def run(
        self, data: Path, environment: Mapping[str, str], command: Sequence[str] = ()
    ) -> Iterator[Running]:
        """Run it like `docker run --read-only --tmpfs /tmp -v data:/data`, but in this machine's network."""
        user, group = map(int, self.config["User"].split(":"))
        data.mkdir()
        os.chown(data, user, group)
        container = buildah("from", self.name)
        root = buildah("mount", container)
        script = f"""
            mount --bind {root} {root}
            mount -t tmpfs tmpfs {root}/tmp
            mount --bind {data} {root}/data
            mount -t proc proc {root}/proc
            mount --rbind /dev {root}/dev
            mount -o remount,bind,ro {root}
            exec chroot --userspec={user}:{group} {root} sh -c 'cd {self.config["WorkingDir"]}; exec "$@"' - "$@"
        """
        variables = dict(line.split("=", 1) for line in self.config["Env"])
        log = data.with_suffix(".log")
        with log.open("wb") as output:
            enter = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", script, "-")
            process = subprocess.Popen(
                [*enter, *self.config["Entrypoint"], *(command or self.config["Cmd"])],
                env={**variables, **environment},
                stdout=output,
                stderr=output,
            )
        try:
            yield Running(process, log)
        finally:
            process.kill()
            process.wait()
            buildah("rm", container)


@contextmanager
def built(name: str, *arguments: str) -> Iterator[Image]:
    """Return the image, built from the working tree."""
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be making the base
        if not _has_base():
            _make_base()
        buildah(
            *("bud", "--quiet", "--format", "docker", "--build-arg", f"BASE_IMAGE={BASE}"),
            *(*arguments, "--tag", name, "."),
            cwd=ROOT,
        )
        try:
            yield Image(name)
        finally:
            buildah("rmi", "--force", name)
            buildah("rmi", "--prune", "--force")
