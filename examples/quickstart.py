"""Checksums, disk space and the load of this machine: what binp makes of one file of functions.

    binp run examples/quickstart.py

Open the printed link, or from another terminal:

    binp action invoke disk_usage path=/
    binp action invoke checksum folder=src algorithm=sha256
    binp journal list
"""

import asyncio
import hashlib
import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from binp import BINP

binp = BINP()


class Checksum(BaseModel):
    """The checksum of a folder."""

    files: int
    bytes: int
    digest: str


class Disk(BaseModel):
    """How full a disk is."""

    total: int
    free: int
    percent: float


@binp.action
def checksum(folder: Path = Path(), algorithm: Literal["sha256", "sha512", "blake2b"] = "sha256") -> Checksum:
    """Compute one checksum of all files in a folder.

    Folders with the same names and contents have the same checksum.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise FileNotFoundError(f"there are no files in {folder.absolute()}")
    binp.journal.record("found files", folder=str(folder.absolute()), files=len(files))
    whole = hashlib.new(algorithm)
    size = 0
    for done, path in enumerate(files, start=1):
        content = path.read_bytes()
        size += len(content)
        whole.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        whole.update(content)
        binp.journal.progress(done, total=len(files), message=path.name)
    return Checksum(files=len(files), bytes=size, digest=whole.hexdigest())


@binp.schedule("0 6 * * *")
@binp.action
def disk_usage(path: Path = Path("/"), limit: float = 90.0) -> Disk:
    """Check how full the disk of a path is. Fails above the limit, in percent."""
    usage = shutil.disk_usage(path)
    percent = round(100 * usage.used / usage.total, 1)
    print(f"the disk of {path} is {percent} % full")  # a record of the run
    if percent > limit:
        raise RuntimeError(f"the disk of {path} is {percent} % full")
    return Disk(total=usage.total, free=usage.free, percent=percent)


@binp.service
async def load() -> None:
    """Sample the load of this machine every two seconds."""
    samples: list[float] = []
    while True:
        one_minute, _, _ = os.getloadavg()
        samples = [*samples[-29:], round(one_minute, 2)]
        await binp.kv.set(load=one_minute, samples=samples)
        await asyncio.sleep(2)


@binp.app.get("/load")
@binp.journal
async def show_load() -> dict[str, float | None]:
    """The load of this machine, and its mean over the last minute. The history has every request."""
    samples: list[float] = await binp.kv.get("samples") or []
    mean = sum(samples) / len(samples) if samples else None
    return {"load": await binp.kv.get("load"), "mean": mean}
