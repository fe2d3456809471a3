"""An object read by ranges is a file like any other."""

import io

from hypothesis import given
from hypothesis import strategies as st

from pressroom.storage.parts import RangeReader


@given(data=st.binary(max_size=500), window=st.integers(1, 64), sizes=st.lists(st.integers(1, 100), max_size=20))
def test_whatever_is_asked_for_the_bytes_come_in_order(data: bytes, window: int, sizes: list[int]) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(first: int, last: int) -> bytes:
        asked.append((first, last))
        return data[first : last + 1]

    file = io.BufferedReader(RangeReader(fetch, len(data), read_bytes=window), 32)
    got = b"".join(file.read(size) for size in sizes) + file.read()
    assert got == data
    assert all(last - first < window and last < len(data) for first, last in asked)
    assert sum(last - first + 1 for first, last in asked) == len(data)


@given(lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20))
def test_lines_are_lines_across_ranges(lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    file = io.BufferedReader(RangeReader(lambda a, b: data[a : b + 1], len(data), read_bytes=7), 16)
    assert list(file) == [line + b"\n" for line in lines]
