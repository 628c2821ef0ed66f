"""A folder held open: what is done in it is done there, whatever takes its name meanwhile."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

# Windows cannot name files by an open folder; there, a folder is its path. What may be written but not read
# can be held on Linux alone.
_CAN_HOLD = {os.open, os.stat, os.unlink, os.rename, os.link} <= os.supports_dir_fd
_FOLDER_ALONE = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)
_WRITE_ONLY = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)  # not to wait for a pipe's reader


class HeldFolder:
    """The folder at a path, where files go by their names in it; a context manager.

    Raises: OSError, as do all of its methods.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, _FOLDER_ALONE) if _CAN_HOLD else None
        self._path = path if _CAN_HOLD else Path(os.path.realpath(path, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def is_in(self, root: os.stat_result) -> bool:
        """Whether the folder is the one of that stat or lies below it."""
        above = "."
        found = os.stat(self._at(above), dir_fd=self._fd)
        while not os.path.samestat(found, root):
            below, above = found, f"{above}{os.sep}.."
            found = os.stat(self._at(above), dir_fd=self._fd)
            if os.path.samestat(found, below):  # the top
                return False
        return True

    def create(self, name: str, data: bytes) -> None:
        """Writes a file that is not there yet."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._at(name), flags, 0o666, dir_fd=self._fd), "wb") as file:
            file.write(data)

    def replace(self, name: str, other: str) -> None:
        """Renames a file over another one."""
        os.replace(self._at(name), self._at(other), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def link(self, name: str, other: str) -> None:
        """Makes a hard link; fails where there is a file of the other name."""
        os.link(self._at(name), self._at(other), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def touch(self, name: str) -> None:
        """Opens a file for writing and closes it, which tells those who watch the folder."""
        os.close(os.open(self._at(name), _WRITE_ONLY, dir_fd=self._fd))

    def unlink(self, name: str) -> None:
        """Deletes a file."""
        os.unlink(self._at(name), dir_fd=self._fd)

    def _at(self, name: str) -> str | Path:
        return self._path / name if self._fd is None else name
