"""The image of examples/deploy: its size, and that it serves, locked in as a container is.

    apt-get install buildah mmdebstrap bubblewrap
    mmdebstrap --variant=minbase --include=ca-certificates bookworm base.tar
    python benchmarks/bench_image.py --base base.tar [--work DIR]

Docker is not needed: buildah builds the Dockerfile in a chroot, on a base of Debian's packages in the place of Docker's
debian:12-slim, which has no documentation and so is smaller. The image then runs in bubblewrap: its root read-only, as
the user that it names, with its own command and health check. This machine's certificates go into the base, as pip
needs them here. Exits 1 if it does not serve.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from common import finish
from serve_load import clip_of

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "examples" / "deploy" / "Dockerfile"
NAME = "localhost/tal-engine:bench"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--base", type=Path, help="tar of a Debian 12, on which the image is built")
    what.add_argument("--built", nargs=2, metavar=("BASE", "IMAGE"), help="images of --work that are there already")
    parser.add_argument("--work", type=Path, default=Path("/tmp/bench-image"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    store = Store(args.work)
    base_name, image_name = args.built or (f"{NAME}-base", NAME)
    if args.base is not None:
        store.build(args.base)
    with store.mounted(base_name) as base, store.mounted(image_name) as image:
        sizes = {"base_mib": mib(base), "image_mib": mib(image), "packages_mib": mib(image / "opt/tal")}
        sizes["compressed_mib"] = compressed(image)
        largest = sorted((image / "opt/tal/lib/python3.11/site-packages").iterdir(), key=mib)[-8:]
        sizes["largest_mib"] = {p.name: mib(p) for p in reversed(largest)}
        served = serve(image, store.config(image_name), args.work)
    finish("bench_image", {**sizes, **served})
    if not all(served.values()):
        sys.exit(f"it does not serve as it should: {served}")


class Store:
    """Images of a folder."""

    def __init__(self, folder: Path) -> None:
        self._words = ["buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self._env = {
            **os.environ,
            "BUILDAH_ISOLATION": "chroot",
            "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "vfs"),
        }

    def __call__(self, *words: object) -> str:
        done = subprocess.run([*self._words, *map(str, words)], env=self._env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{words} failed")
        return done.stdout.strip()

    def build(self, base: Path) -> None:
        """Build the base and the image; what is built already is taken."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copy(base, folder / "base.tar")
            shutil.copy(_CERTIFICATES, folder / "certificates")
            text = f"FROM scratch\nADD base.tar /\nCOPY certificates {_CERTIFICATES}\nENV PIP_CERT={_CERTIFICATES}\n"
            (folder / "Dockerfile").write_text(text)
            self("bud", "--layers", "-q", "-t", f"{NAME}-base", folder)
        self("bud", "--layers", "--format", "docker", "-q", "-t", NAME, "--build-arg", f"BASE={NAME}-base",
             "--ignorefile", f"{DOCKERFILE}.dockerignore", "-f", DOCKERFILE, ROOT)  # fmt: skip

    def config(self, name: str) -> dict[str, Any]:
        """What the image says about how it is run."""
        config: dict[str, Any] = json.loads(self("inspect", "--type", "image", name))["Docker"]["config"]
        return config

    @contextlib.contextmanager
    def mounted(self, name: str) -> Iterator[Path]:
        """The files of an image."""
        container = self("from", name)
        try:
            yield Path(self("mount", container))
        finally:
            self("rm", container)


def mib(path: Path) -> float:
    """Sizes of all files below, as they are told; one with several names counts once."""
    seen = {}
    for each in [path, *path.rglob("*")]:
        status = each.lstat()
        seen[status.st_dev, status.st_ino] = status.st_size
    return round(sum(seen.values()) / 2**20, 1)


def compressed(folder: Path) -> float:
    """What registries keep and send, about: a tar by gzip."""
    with tempfile.TemporaryFile() as file:
        tar = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
        assert tar.stdout is not None
        with gzip.open(file, "wb", 6) as packed:
            shutil.copyfileobj(tar.stdout, packed, 1 << 20)
        tar.wait()
        return round(file.tell() / 2**20, 1)


def serve(image: Path, config: dict[str, Any], work: Path) -> dict[str, bool]:
    """Run the image as it says, and say what of it is so."""
    user, group = config["User"].split(":")
    token = secrets.token_hex(16)
    clip = clip_of(work)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokens").write_text(token)
        (folder / "state").mkdir()
        jail = ["bwrap", "--ro-bind", image, "/", "--tmpfs", "/tmp", "--tmpfs", "/run", "--proc", "/proc", "--dev",
                "/dev", "--bind", folder / "state", "/var/lib/tal", "--ro-bind", folder / "tokens",
                "/run/secrets/tokens", "--unshare-user", "--uid", user, "--gid", group, "--unshare-pid",
                "--unshare-ipc", "--cap-drop", "ALL", "--die-with-parent", "--chdir", config["WorkingDir"],
                "--clearenv"]  # fmt: skip
        for pair in config["Env"]:
            jail += ["--setenv", *pair.split("=", 1)]
        writes = subprocess.run([*map(str, jail), "sh", "-c", "touch /etc/x || touch /opt/tal/x"], capture_output=True)
        command = [*config["Entrypoint"], *config["Cmd"], "--port", "0"]
        with subprocess.Popen([*map(str, jail), *command], stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            line = child.stderr.readline()
            found = re.search(r":(\d+);", line)
            if found is None:
                sys.exit(f"it does not start: {line}{child.stderr.read()}")
            try:
                return {"root_is_read_only": writes.returncode != 0, **_asked(jail, found[1], token, clip)}
            finally:
                child.terminate()


def _asked(jail: list[Any], port: str, token: str, clip: Path) -> dict[str, bool]:
    check = json.loads(re.findall(r"^  CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)[0])
    healthy = shlex.join(check).replace("8765", port)
    base, head = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"}
    ok = False
    for _ in range(60):
        if ok := subprocess.run([*map(str, jail), "sh", "-c", healthy], capture_output=True).returncode == 0:
            break
        time.sleep(0.5)
    answer = httpx.post(f"{base}/v1/localize", content=clip.read_bytes(), headers=head, timeout=120)
    return {
        "healthy": ok, "ready": httpx.get(f"{base}/readyz").status_code == 200,
        "needs_a_token": httpx.get(f"{base}/v1/plans").status_code == 401,
        "localizes": answer.status_code == 200 and "segments" in answer.json(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
