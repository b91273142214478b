"""The journal: what is appended is read back, a torn tail is cut off, damage in the middle is refused."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import zlib
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress import replay as replay_cases
from tuning.core import files
from tuning.core.errors import StateError
from tuning.engine.entries import UNNUMBERED, Published, Result
from tuning.engine.journal import Journal, decode, encode, held, parse, read

RECORDS = [Published(n=n, key="final/a", run_id=f"ümlaut {n} \n") for n in range(4)]
DATA = b"".join(encode(record) for record in RECORDS)
ENDS = [end + 1 for end in range(len(DATA)) if DATA[end : end + 1] == b"\n"]


def note(name, n=UNNUMBERED):
    return Published(n=n, key="final/a", run_id=name)


def names(records):
    return [record.run_id for record in records]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_a_line_is_ascii_safe_and_checksummed():
    line = encode(RECORDS[0])
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == msgspec.to_builtins(RECORDS[0])
    assert decode(line[:-2]) is None


def test_appended_records_are_numbered_and_read_back(path):
    with Journal(path) as journal:
        assert journal.append(note("a")) == msgspec.structs.replace(note("a"), n=0)
        assert journal.append(note("b")).n == 1
    with Journal(path) as journal:
        assert names(journal.records) == ["a", "b"]
        assert journal.append(note("c")).n == 2
    assert [record.n for record in read(path)] == [0, 1, 2]


@given(cut=st.integers(0, len(DATA)))
def test_any_truncation_leaves_the_whole_lines_before_it(cut):
    parsed = parse(DATA[:cut])
    whole = sum(end <= cut for end in ENDS)
    assert parsed.damage is None
    assert list(parsed.records) == RECORDS[:whole]
    assert parsed.length == ([0, *ENDS])[whole]


@given(position=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_read_as_a_record(position, bit):
    flipped = bytearray(DATA)
    flipped[position] ^= 1 << bit
    parsed = parse(bytes(flipped))
    line = sum(end <= position for end in ENDS)
    if (
        flipped[position] == DATA[position] ^ 0x20
        and (DATA[position : position + 1]).isalpha()
        and _in_checksum(position)
    ):
        # The case of a hexadecimal digit carries no information.
        assert list(parsed.records) == RECORDS
        return
    assert list(parsed.records) == RECORDS[:line]
    assert (parsed.damage is not None) == (line < len(RECORDS) - 1)


def _in_checksum(position: int) -> bool:
    start = max([0, *[end for end in ENDS if end <= position]])
    return position - start < 8


@given(first=st.integers(0, 3), second=st.integers(0, 3))
def test_a_repeated_line_is_damage(first, second):
    lines = [encode(record) for record in RECORDS]
    lines.insert(first + 1, lines[second])
    parsed = parse(b"".join(lines))
    # The copy is where its number does not belong, unless it stands where the original does.
    assert parsed.damage is not None
    assert "carries number" in parsed.damage


def test_a_torn_tail_is_truncated_and_writing_goes_on(path):
    path.write_bytes(DATA + encode(note("torn", 4))[:-7])
    with Journal(path) as journal:
        assert journal.records == RECORDS
        journal.append(note("next"))
    assert path.read_bytes() == DATA + encode(note("next", 4))


@pytest.mark.parametrize("tail", [b"0" * 30, b"0" * 30 + b"\n", bytes(5000), b"0000" + bytes(90) + b"\n" + bytes(400)])
def test_what_a_crash_can_leave_is_a_torn_tail(tail):
    assert (parse(DATA + tail).records, parse(DATA + tail).damage) == (tuple(RECORDS), None)


@pytest.mark.parametrize(
    "data", [DATA.replace(b"\n", b"\r\n"), b"hello\nworld\n", DATA + b"one\ntwo\n", bytes(range(256)) * 4]
)
def test_what_no_crash_leaves_is_kept_and_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(StateError, match="is damaged, and it is not the last one"):
        Journal(path)
    with pytest.raises(StateError, match=r"journal\.jsonl: line \d is damaged"):
        read(path)
    assert path.read_bytes() == data
    with held(path.parent), pytest.raises(StateError, match="in use by process"), held(path.parent):
        pass


def test_two_torn_tails_in_a_row_lose_nothing(path):
    path.write_bytes(DATA + b"0000")
    with Journal(path) as journal:
        journal.append(note("one"))
    with path.open("ab") as file:
        file.write(b'deadbeef {"n":5')
    with Journal(path) as journal:
        journal.append(note("two"))
        assert [record.n for record in journal.records] == [0, 1, 2, 3, 4, 5]


def test_damage_in_the_middle_is_refused_and_left_alone(path):
    damaged = DATA.replace(b"mlaut 1", b"mlaut 9")
    path.write_bytes(damaged)
    with pytest.raises(StateError, match="line 2 is damaged"):
        Journal(path)
    assert path.read_bytes() == damaged
    # The lock is not left behind.
    path.write_bytes(DATA)
    Journal(path).close()


def test_a_second_process_is_refused_by_the_name_of_the_first(path):
    code = (
        "import sys; from pathlib import Path; from tuning.engine.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StateError, match=f"process {holder.pid} on "):
            Journal(path)
    finally:
        holder.kill()
        holder.communicate()
    # A killed owner's lock is nobody's.
    Journal(path).close()


def test_another_process_that_writes_in_spite_of_the_lock_costs_no_line(path):
    """Its file was removed, or another machine does not see it: whoever notices first stops, and goes on later."""
    with Journal(path) as journal:
        journal.append(note("ours"))
        with path.open("ab") as other:
            other.write(encode(note("theirs", n=1)))
        for _ in range(2):  # whoever tidies up writes nothing either
            with pytest.raises(StateError, match="written by another process"):
                journal.append(note("lost"))
    with Journal(path) as journal:
        assert names(journal.records) == ["ours", "theirs"]
        journal.append(note("after"))
    assert names(read(path)) == ["ours", "theirs", "after"]


def test_a_file_system_that_cannot_lock_is_named(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks available") as caught:
        Journal(path)
    assert caught.value.filename == str(path.with_name("journal.lock"))


def test_a_full_disk_takes_back_the_half_line_and_names_the_file(path, monkeypatch):
    with Journal(path) as journal:
        journal.append(note("whole"))

        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            journal.append(note("lost"))
        assert caught.value.filename == str(path)
        monkeypatch.undo()
        assert journal.append(note("after")).n == 1
    assert names(read(path)) == ["whole", "after"]


LIMITED = """
import resource, sys
from pathlib import Path
from tuning.engine.entries import Published
from tuning.engine.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    journal.append(Published(key="k", run_id="whole"))
    size = Path(sys.argv[1]).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, -1))
    try:
        journal.append(Published(key="k", run_id="lost"))
    except OSError as error:
        print(error.filename)
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    journal.append(Published(key="k", run_id="after"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_line_of_which_only_a_part_fits_is_an_error_and_leaves_no_trace(path):
    """The system writes what fits, and says so by a smaller number, not by an error."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(path)
    assert names(read(path)) == ["whole", "after"]


@pytest.mark.parametrize("operation", ["append", "appended"])
def test_a_signal_in_the_middle_of_an_append_costs_no_later_record(path, operation):
    """Before the line is written or after: whoever tidies up in a `finally` appends to a sound journal."""
    with Journal(path) as journal:
        journal.append(note("before"))

        def interrupt(announced, where):
            if announced == operation:
                raise KeyboardInterrupt

        files.fault_hook = interrupt
        with pytest.raises(KeyboardInterrupt):
            journal.append(note("interrupted"))
        files.fault_hook = None
        journal.append(note("after"))
    written = ["before", "interrupted", "after"] if operation == "appended" else ["before", "after"]
    with Journal(path) as journal:
        assert names(journal.records) == written


def test_a_torn_line_that_could_not_be_taken_back_goes_before_the_next_append(path, monkeypatch):
    with Journal(path) as journal:
        journal.append(note("whole"))

        def broken(*_):
            raise OSError(errno.EIO, "Input/output error")

        write = journal._file.write
        monkeypatch.setattr(os, "ftruncate", broken)
        monkeypatch.setattr(os, "fsync", broken)
        journal._write = lambda line: (write(line[:9]), broken())
        with pytest.raises(OSError, match="Input/output"):
            journal.append(note("torn"))
        monkeypatch.undo()
        del journal._write
        assert path.read_bytes().count(b"\n") == 1
        journal.append(note("after"))
    assert names(read(path)) == ["whole", "after"]


def test_what_is_appended_is_at_once_what_a_resume_will_read(path):
    with Journal(path) as journal:
        record = journal.append(Result(key="k", fence=0, result={"pair": (1, 2), "by": {"b": 1, "a": 2}}))
    assert read(path) == (record,)
    assert record.result["pair"] == [1, 2]
    assert list(record.result["by"]) == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"12345"])
def test_what_is_in_the_files_of_lock_and_owner_does_not_matter(path, content):
    path.with_name("journal.lock").write_bytes(content)
    path.with_name("journal.owner").write_bytes(content)
    with Journal(path) as journal:
        journal.append(note("a"))
        assert path.with_name("journal.owner").read_text().startswith(f"process {os.getpid()} on ")
    assert not path.with_name("journal.owner").exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b""])
def test_a_second_process_is_refused_though_nobody_knows_the_first(path, content):
    with Journal(path):
        owner = path.with_name("journal.owner")
        owner.unlink()
        if content is not None:
            owner.write_bytes(content)
        with pytest.raises(StateError, match="in use by another process"):
            Journal(path)


@pytest.mark.parametrize("seed", range(0, 500, 50))
def test_whatever_happens_to_its_lines_nothing_is_read_that_was_not_written_there(path, seed):
    """Torn, cut, flipped, repeated, exchanged, left out, noise; `make stress` looks at 10,000."""
    ends = Counter(replay_cases.case(number, path) for number in range(seed, seed + 50))
    assert set(ends) == {"whole", "shortened", "refused"}


def test_a_line_that_is_json_but_no_record_is_damage():
    assert decode(b"not a line") is None
    body = json.dumps([1, 2]).encode()
    assert decode(b"%08x %s" % (zlib.crc32(body), body)) is None
    assert decode(b"zzzzzzzz {}") is None


def test_a_thousand_trials_open_within_a_second(path):
    import time

    curve = [{"epoch": e, "loss": 1.0, "val_loss": 1.0, "val_f1_macro": 0.5} for e in range(27)]
    with path.open("wb") as file:
        for n in range(3000):
            file.write(encode(Result(n=n, key=f"trial/{n}", fence=n, result={"curve": curve})))
    began = time.process_time()
    with Journal(path) as journal:
        assert len(journal.records) == 3000
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"type": "flat", "trials": 3}, "Invalid value 'flat'"),
        ({"key": "trial/0"}, "missing required field `type`"),
        ({"type": "ask", "trial": {"trial_id": "0", "values": {}}}, "missing required field `completed`"),
        ({"type": "ask", "trial": {"trial_id": "0", "values": {}}, "told": 0, "completed": 0}, "unknown field `told`"),
        ({"type": "ask", "trial": {"trial_id": 0, "values": {}}, "completed": 0}, "Expected `str`, got `int`"),
        ({"type": "spent", "seconds": "long"}, "Expected `float`, got `str`"),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_a_whole_line_that_is_no_known_entry_is_refused_by_file_and_line_and_left_alone(path, record, words, last):
    body = json.dumps({"n": 4, **record}, sort_keys=True).encode()
    data = DATA + b"%08x %s\n" % (zlib.crc32(body), body) + (b"" if last else encode(note("more", 5)))
    path.write_bytes(data)
    for opening in (Journal, read):
        with pytest.raises(StateError, match=words) as caught:
            opening(path)
        assert f"{path}: line 5 is no record that this version knows" in caught.value.problem
        assert "--fresh" in caught.value.remedy
    assert path.read_bytes() == data
