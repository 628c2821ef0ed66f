"""Ctrl-C and SIGTERM: the first asks to stop, the second ends the process at once."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 0.3  # `timeout` and others signal the process and its group: once may come as twice
_SHOW_CURSOR = b"\x1b[?25h"  # a progress display hides it


class Stop(threading.Event):
    """Set by a signal; `exit_code` is what a process that was ended by it returns, 130 for Ctrl-C."""

    exit_code = 0


@contextmanager
def stop_on_signals(last_words: Callable[[], None]) -> Iterator[Stop]:
    """A `Stop` that the signals set, while the context lasts; on the second, `last_words` and the end.

    A thread of its own does this: a handler would run in the main thread, which may hold the very lock that
    `Stop.set` needs, or sit in a long call. Outside of the main thread, signals are left alone, and so is one
    that the process was started to ignore, as the background jobs of shell scripts are with Ctrl-C.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    listener = threading.Thread(target=_listen, args=(reader, stop, last_words), daemon=True)
    listener.start()
    old_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    old_handlers = {number: signal.signal(number, lambda *_: None) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_fd)
        writer.close()
        listener.join()
        reader.close()


def _listen(reader: socket.socket, stop: Stop, last_words: Callable[[], None]) -> None:
    asked_s = 0.0
    while number := reader.recv(1):
        if number[0] not in _SIGNALS:
            continue
        exit_code = 128 + number[0]
        if stop.is_set():
            if time.monotonic() - asked_s < ECHO_S:
                continue
            last_words()
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os._exit(exit_code)
        stop.exit_code = exit_code
        asked_s = time.monotonic()
        stop.set()
