"""What the versions of a key may be after a crash, judged from what its one writer
was told.

Versions stand in the order in which they were sent. One whose success came back has
an id and stays, with its bytes, tags and lock, until its removal is sent; one that
was never answered may be there once, in its place, or not at all.
"""

import hashlib
import random
from dataclasses import dataclass


@dataclass
class Version:
    # None for a delete marker.
    body: bytes | None
    # Known once it was answered.
    id: str | None = None
    # Values of its tag that it may have; the last one was sent last.
    tags: tuple = (None,)
    # Whether it is retained: no, maybe (sent, not answered), or yes.
    retained: str = "no"
    removing: bool = False

    def may_be_missing(self):
        return self.id is None or (self.removing and self.retained != "yes")


@dataclass
class Shown:
    """One entry of a list of versions."""

    id: str
    marker: bool
    latest: bool
    etag: str
    size: int


def body(seed, size):
    return random.Random(seed).randbytes(size)


def looks_like(version, shown):
    if version.id not in (None, shown.id) or (version.body is None) != shown.marker:
        return False
    return shown.marker or (shown.size, shown.etag) == (
        len(version.body), f'"{hashlib.md5(version.body).hexdigest()}"',
    )


def explain(sent, listed):
    """The versions that a list shows, oldest first, or why it cannot be.

    `sent` are oldest first, `listed` newest first, as the server lists.
    """
    if [entry.latest for entry in listed] != [True, *[False] * (len(listed) - 1)][: len(listed)]:
        raise AssertionError(f"the newest alone is the latest: {listed}")
    left = list(reversed(sent))
    there = []
    known = {version.id for version in sent}
    for entry in listed:
        # One without an answer is none of those that have their ids.
        while left and (
            not looks_like(left[0], entry) or left[0].id is None and entry.id in known
        ):
            assert left[0].may_be_missing(), f"{left[0].id} is missing before {entry}"
            left.pop(0)
        assert left, f"{entry} is none of those that were sent, or not in its place"
        version = left.pop(0)
        version.id, version.removing = entry.id, False
        there.append(version)
    missing = [version.id for version in left if not version.may_be_missing()]
    assert not missing, f"{missing} are missing"
    return there[::-1]
