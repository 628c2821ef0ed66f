"""Fetches one file over HTTP and goes on where an earlier, broken download of it ended."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from facadegen.errors import OutputError, TrainingError, UsageError

CHUNK_BYTES = 1 << 16
TIMEOUT_S = 30.0
# A try that brought some bytes does not count: over a slow, flaky line the file arrives in the end.
FRUITLESS_TRIES = 3
PASSING_FAULTS = (408, 425, 429, 500, 502, 503, 504)

# Called with the bytes on disk and, where the server told it, the bytes in all.
OnProgress = Callable[[int, int | None], None]


class _BrokenOff(Exception):
    """The connection failed or ended early; another try may go further."""


@dataclass(frozen=True)
class _Origin:
    """What a partial file is a part of; kept as JSON beside it."""

    url: str
    validator: (
        str | None
    )  # an ETag or Last-Modified: the server goes on with the very same file or starts anew
    total_bytes: int | None


def fetch(url: str, path: Path, on_progress: OnProgress, max_bytes: int) -> None:
    """The file at `url` lies complete at `path`; what an earlier call left there is gone on with.

    Raises:
        UsageError: the address is not http or https.
        TrainingError: the server cannot be reached, says no, breaks off again and again, or sends too much.
        OutputError: `path` cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no http or https address")
    fruitless = 0
    while True:
        before_bytes = _size(path)
        try:
            return _fetch_once(url, path, on_progress, max_bytes)
        except _BrokenOff as broken:
            fruitless = 0 if _size(path) > before_bytes else fruitless + 1
            if fruitless == FRUITLESS_TRIES:
                raise TrainingError(f"cannot download {url}: {broken}") from broken
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror or error}", path) from error
        time.sleep(2.0**fruitless)


def discard(path: Path) -> None:
    """Neither the file nor the note on where it came from is there any more."""
    path.unlink(missing_ok=True)
    _note_path(path).unlink(missing_ok=True)


def _fetch_once(url: str, path: Path, on_progress: OnProgress, max_bytes: int) -> None:
    origin, have_bytes = _read_note(path, url), _size(path)
    if origin and have_bytes and have_bytes == origin.total_bytes:
        return on_progress(have_bytes, have_bytes)
    headers = {"User-Agent": "facadegen", "Accept-Encoding": "identity"}
    if origin and origin.validator and have_bytes:
        headers |= {"Range": f"bytes={have_bytes}-", "If-Range": origin.validator}
    with _open(urllib.request.Request(url, headers=headers), path) as response:
        resumes = response.status == 206
        if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {have_bytes}-"):
            discard(path)
            raise _BrokenOff("the server sent another part of the file than the one asked for")
        start_bytes = have_bytes if resumes else 0
        length = response.headers.get("Content-Length", "")
        total_bytes = start_bytes + int(length) if length.isdigit() else None
        _write_note(path, _Origin(url, _validator(response.headers), total_bytes))
        with path.open("ab" if resumes else "wb") as file:
            _copy(response, file, start_bytes, total_bytes, on_progress, max_bytes)


def _open(request: urllib.request.Request, path: Path) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
        return response
    except urllib.error.HTTPError as error:
        answer = f"the server answered {error.code} {error.reason}"
        if error.code == 416:  # the file is shorter now than what is here of it
            discard(path)
        if error.code == 416 or error.code in PASSING_FAULTS:
            raise _BrokenOff(answer) from error
        raise TrainingError(f"cannot download {request.full_url}: {answer}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(_cause(error)) from error


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done_bytes: int,
    total_bytes: int | None,
    on_progress: OnProgress,
    max_bytes: int,
) -> None:
    while True:
        if max(done_bytes, total_bytes or 0) > max_bytes:
            raise TrainingError(f"the server sends more than the {max_bytes:,} bytes expected at most")
        on_progress(done_bytes, total_bytes)
        try:
            chunk = response.read(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOff(_cause(error)) from error
        if not chunk:
            break
        file.write(chunk)
        done_bytes += len(chunk)
    if total_bytes is not None and done_bytes < total_bytes:
        raise _BrokenOff(f"the connection ended after {done_bytes:,} of {total_bytes:,} bytes")


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error  # a URLError wraps what went wrong below it
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _validator(headers: http.client.HTTPMessage) -> str | None:
    etag = headers.get("ETag")
    # A weak tag promises the same meaning, not the same bytes, so If-Range does not allow it.
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_note(path: Path, url: str) -> _Origin | None:
    try:
        origin = _Origin(**json.loads(_note_path(path).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return origin if origin.url == url else None


def _write_note(path: Path, origin: _Origin) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _note_path(path).with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(origin)), "utf-8")
    temporary.replace(_note_path(path))
