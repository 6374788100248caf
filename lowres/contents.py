"""What a file holds, as a hash: content decides whether something is the same, not a name, a size or a time."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

# A file that changed this short a time before it was read may change again without its stamp showing it: clocks of
# file systems are coarse. Until then it is read each time.
SETTLED = 2.0  # seconds

_Stamp = tuple[int, int, int, int]
_known: dict[Path, tuple[_Stamp, str]] = {}


def is_utf8(name: str) -> bool:
    """Whether a file's name is text in UTF-8: Python holds other bytes as halves of surrogate pairs."""
    return name == name.encode(errors="ignore").decode()


def content(path: Path) -> str:
    """SHA-256 of a file's bytes in hex, remembered while the system says that nothing has touched the file.

    Raises:
        OSError: it cannot be read.
    """
    stat = path.stat()
    stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)  # no program can set the last one back
    known = _known.get(path)
    if known and known[0] == stamp:
        return known[1]
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if abs(time.time() - stat.st_ctime) > SETTLED:
        _known[path] = stamp, found
    return found
