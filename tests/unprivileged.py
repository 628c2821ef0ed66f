"""Tests of what permissions keep out, run by root as well, whom none keep out."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

NOBODY = 65534

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="permissions are of another kind here")


def unprivileged(body: Callable[[], None], *folders: Path) -> None:
    """Runs `body` in the first of these folders, in a process of its own; root's belong to nobody in it.

    Paths are to be relative: root's folders of tests may not be searched by others.
    """
    if os.getuid() == 0:
        for folder in folders:
            os.chown(folder, NOBODY, NOBODY)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, "see what the child process printed"
        return
    exit_code = 1
    try:
        os.chdir(folders[0])
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        body()
        exit_code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(exit_code)
