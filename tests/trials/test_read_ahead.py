from __future__ import annotations

import mmap

import numpy as np
import pytest

from tuning.core import machine
from tuning.trials import read_ahead
from tuning.trials.read_ahead import ReadAhead

#: Rows of an odd size, so that most begin inside a page and some reach over two.
ROWS = np.arange(5000 * 131, dtype=np.uint32).astype(np.uint8).reshape(5000, 131)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


@pytest.fixture
def _little_memory(monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(total=ROWS.nbytes, available=None))


class Watched:
    """A memory map that notes what it is told."""

    def __init__(self, real):
        self.real, self.advice = real, []

    def madvise(self, option, *place):
        self.real.madvise(option, *place)
        self.advice.append(place)


def asked(rows, indices):
    ahead = ReadAhead(rows)
    ahead._map = Watched(ahead._map)
    ahead.request(np.array(indices))
    return ahead._map.advice


@pytest.mark.skipif(not hasattr(mmap, "MADV_RANDOM"), reason="no madvise on this system")
@pytest.mark.usefixtures("_little_memory")
def test_exactly_the_pages_of_the_rows_are_asked_for(mapped):
    header = mapped.offset
    for rows, first in ((mapped, 0), (mapped[1000:4000], 1000)):
        for index in (0, 31, 1999):
            [(start, length)] = asked(rows, [index])
            begin = header + (first + index) * 131
            assert start % mmap.PAGESIZE == 0
            assert start <= begin < start + mmap.PAGESIZE
            assert start + length == begin + 131
    assert len(asked(mapped, [4999, 3, 3])) == 3
    assert np.array_equal(mapped, ROWS)


@pytest.mark.usefixtures("_little_memory")
def test_arrays_in_no_memory_map_are_left_alone():
    for rows in (ROWS, ROWS[::2], np.zeros((0, 3))):
        ReadAhead(rows).request(np.array([0, 1]))


def test_a_small_file_is_left_to_the_kernel(mapped):
    assert machine.memory().total * read_ahead.SMALL > ROWS.nbytes
    assert ReadAhead(mapped)._map is None
