"""Rows that are kept while a film is read: all of them, as they came, in few blocks of memory."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from actionclip.encoding import kept
from actionclip.encoding.kept import Rows


def storages(parts):
    return {storage.data_ptr(): storage for storage in (p.untyped_storage() for p in parts)}


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    shape=st.sampled_from([(), (3,), (2, 4)]),
    block=st.integers(1, 400),
)
def test_rows_come_back_as_they_were_added(sizes, shape, block):
    before, kept.BLOCK_BYTES = kept.BLOCK_BYTES, block
    try:
        rows, added = Rows(), [torch.randn(size, *shape) for size in sizes]
        for some in added:
            rows.add(some)
        found = rows.parts()
    finally:
        kept.BLOCK_BYTES = before

    assert len(found) == len(added)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, added, strict=True))
    assert sum(s.nbytes() for s in storages(found).values()) == sum(a.nbytes for a in added)


def test_rows_of_a_long_film_lie_in_few_blocks():
    rows = Rows()
    for number in range(3000):
        rows.add(torch.full((8, 1, 128), float(number)))  # 12 MiB, 4 KiB at a time

    found = rows.parts()

    assert len(found) == 3000
    assert len(storages(found)) == 3
    assert (found[0][0, 0, 0], found[2999][7, 0, 127]) == (0, 2999)


def test_no_rows_take_no_more_than_a_block():
    rows = Rows()
    rows.add(torch.zeros(0, 1, 512))

    assert rows._blocks[0].nbytes <= kept.BLOCK_BYTES
    assert rows.parts()[0].shape == (0, 1, 512)
