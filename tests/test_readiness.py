"""When a file counts as ready, in made-up time and with made-up files."""

from facadegen.readiness import Identity, Readiness

SETTLE_S = 1.0


class Files:
    """Files that exist by being listed here."""

    def __init__(self) -> None:
        self.now: dict[str, Identity] = {}
        self.looks = 0

    def write(self, name: str, size_bytes: int, mtime_ns: int = 0) -> None:
        self.now[name] = Identity(size_bytes, mtime_ns, 0, 1)

    def look(self, name: str) -> Identity | None:
        self.looks += 1
        return self.now.get(name)


def taken(readiness: Readiness, files: Files, now_s: float, limit: int = 100) -> list[str]:
    return readiness.take(now_s, files.look, limit)


def known(readiness: Readiness) -> int:
    """How many files it holds."""
    return len(readiness._pending.keys() | readiness._done.keys())


def test_a_file_is_ready_after_two_looks_at_the_same_stat() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=False)
    assert taken(readiness, files, 0.0) == []
    assert taken(readiness, files, 0.9) == []
    assert taken(readiness, files, 1.0) == ["a"]
    assert taken(readiness, files, 9.0) == []
    assert readiness.pending == 0


def test_a_file_that_grows_waits_until_it_holds_still() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    for second in range(5):
        files.write("a", second)
        readiness.heard("a", float(second), closed=False)
        assert taken(readiness, files, float(second)) == []
    assert taken(readiness, files, 4.9) == []
    assert taken(readiness, files, 5.0) == ["a"]


def test_growth_without_events_is_seen_at_the_second_look() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    readiness.scanned("a", Identity(1, 0, 0, 1), 0.0)
    files.write("a", 2)
    assert taken(readiness, files, 1.0) == []
    assert taken(readiness, files, 2.0) == ["a"]


def test_a_closed_file_is_ready_at_once_but_for_a_breath() -> None:
    readiness, files = Readiness(SETTLE_S, closed_quiet_s=0.05), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=True)
    assert taken(readiness, files, 0.0) == []
    assert readiness.next_look_s() == 0.05
    assert taken(readiness, files, 0.05) == ["a"]


def test_a_file_written_to_again_after_its_close_waits() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=True)
    readiness.heard("a", 0.01, closed=False)
    assert taken(readiness, files, 0.5) == []
    readiness.heard("a", 0.6, closed=True)
    assert taken(readiness, files, 0.6) == ["a"]


def test_metadata_after_the_close_do_not_undo_it() -> None:
    readiness, files = Readiness(SETTLE_S, closed_quiet_s=0.05), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=True)
    assert taken(readiness, files, 0.0) == []
    files.write("a", 10, mtime_ns=5)
    readiness.heard("a", 0.01, closed=None)
    assert taken(readiness, files, 0.01) == []
    assert taken(readiness, files, 0.07) == ["a"]


def test_duplicate_events_and_rescans_cost_one_run() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    files.write("a", 10)
    for _ in range(3):
        readiness.heard("a", 0.0, closed=False)
        readiness.heard("a", 0.0, closed=True)
    taken(readiness, files, 0.0)
    assert taken(readiness, files, 0.1) == ["a"]
    readiness.heard("a", 0.2, closed=True)
    readiness.scanned("a", files.now["a"], 0.3)
    assert taken(readiness, files, 9.0) == []


def test_any_change_of_identity_is_new_work() -> None:
    first = Identity(10, 100, 1000, 7)
    changes = [
        first._replace(size_bytes=11),
        first._replace(mtime_ns=99),  # older: mv or cp -p over it
        first._replace(ctime_ns=1001),  # chmod made it readable
        first._replace(inode=8),
    ]
    for changed in changes:
        readiness, files = Readiness(SETTLE_S), Files()
        readiness.scanned("a", first, 0.0)
        files.now["a"] = first
        assert taken(readiness, files, 1.0) == ["a"]
        files.now["a"] = changed
        readiness.scanned("a", changed, 2.0)
        assert taken(readiness, files, 3.0) == ["a"], changed


def test_a_file_that_did_not_decode_at_its_close_gets_the_settle_time_once() -> None:
    readiness, files = Readiness(SETTLE_S, closed_quiet_s=0.05), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=True)
    taken(readiness, files, 0.0)
    assert taken(readiness, files, 0.05) == ["a"]
    assert readiness.defer("a")
    assert taken(readiness, files, 0.5) == []
    assert taken(readiness, files, 1.0) == ["a"]
    assert not readiness.defer("a")
    assert taken(readiness, files, 9.0) == []


def test_a_deferred_file_that_is_completed_is_ready_at_its_next_close() -> None:
    readiness, files = Readiness(SETTLE_S, closed_quiet_s=0.05), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=True)
    taken(readiness, files, 0.0)
    taken(readiness, files, 0.05)
    readiness.defer("a")
    files.write("a", 20)
    readiness.heard("a", 0.4, closed=True)
    taken(readiness, files, 0.4)
    assert taken(readiness, files, 0.45) == ["a"]


def test_a_file_that_settled_is_not_deferred() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    files.write("a", 10)
    readiness.heard("a", 0.0, closed=False)
    taken(readiness, files, 0.0)
    assert taken(readiness, files, 1.0) == ["a"]
    assert not readiness.defer("a")


def test_a_deleted_file_is_forgotten_and_new_when_it_comes_back() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    readiness.scanned("a", Identity(1, 0, 0, 1), 0.0)
    files.write("a", 1)
    assert taken(readiness, files, 1.0) == ["a"]
    kept = files.now.pop("a")
    readiness.heard("a", 2.0, closed=None)
    assert taken(readiness, files, 2.0) == []
    assert known(readiness) == 0
    readiness.scanned("a", kept, 3.0)
    files.now["a"] = kept
    assert taken(readiness, files, 4.0) == ["a"]


def test_a_scan_forgets_what_it_did_not_meet() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    for name in ("a", "b", "c"):
        files.write(name, 1)
        readiness.scanned(name, files.now[name], 0.0)
    taken(readiness, files, 1.0)
    readiness.keep_only({"b"})
    assert known(readiness) == 1


def test_a_folder_that_went_takes_its_files_along() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    for name in ("x/a", "x/y/b", "xx/c"):
        files.write(name, 1)
        readiness.scanned(name, files.now[name], 0.0)
    taken(readiness, files, 1.0, limit=1)
    readiness.forget_below("x", "/")
    assert taken(readiness, files, 1.0) == ["xx/c"]
    assert known(readiness) == 1


def test_sets_are_limited_and_in_order() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    names = [f"{i}" for i in range(10)]
    for name in names:
        files.write(name, 1)
        readiness.scanned(name, files.now[name], 0.0)
    sets = [taken(readiness, files, 1.0, limit=4) for _ in range(4)]
    assert sets == [names[:4], names[4:8], names[8:], []]


def test_memory_follows_the_files_present_not_the_files_ever_seen() -> None:
    readiness, files = Readiness(SETTLE_S, closed_quiet_s=0.0), Files()
    for i in range(10_000):
        name = f"{i}"
        files.write(name, 1)
        readiness.heard(name, float(i), closed=True)
        assert taken(readiness, files, float(i)) == [name]
        del files.now[name]
        readiness.heard(name, float(i), closed=None)
    taken(readiness, files, 10_000.0)
    assert known(readiness) == 0


def test_idle_files_are_not_looked_at() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    files.write("a", 1)
    readiness.scanned("a", files.now["a"], 0.0)
    taken(readiness, files, 1.0)
    looks = files.looks
    for second in range(2, 100):
        taken(readiness, files, float(second))
    assert files.looks == looks
    assert readiness.next_look_s() is None


def test_files_that_only_a_rescan_told_of_are_counted() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    for name in ("heard", "missed"):
        files.write(name, 1)
        readiness.scanned(name, files.now[name], 0.0, missed=True)
    readiness.heard("heard", 0.5, closed=None)
    assert sorted(taken(readiness, files, 1.0)) == ["heard", "missed"]
    assert readiness.missed == 1


def test_a_file_to_be_repeated_comes_after_the_next_scan_and_counts_as_heard_of() -> None:
    readiness, files = Readiness(SETTLE_S), Files()
    files.write("a", 1)
    readiness.scanned("a", files.now["a"], 0.0)
    taken(readiness, files, 1.0)
    readiness.repeat("a")
    assert taken(readiness, files, 2.0) == []
    readiness.scanned("a", files.now["a"], 3.0, missed=True)
    assert taken(readiness, files, 4.0) == ["a"]
    assert readiness.missed == 0
