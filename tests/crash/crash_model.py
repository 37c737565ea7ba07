"""What a store may hold after a crash, judged from what clients were told.

Every write is noted with the moment it was sent and the moment its success came
back, if it did. A key may show the outcome of any write that no acknowledged
write began after: one that was answered and then followed by another answered
one is history, one that was never answered may have happened or not.
"""

import hashlib
import itertools
import random
import threading
import time
from dataclasses import dataclass, field

FOREVER = float("inf")


@dataclass
class Write:
    """One attempt to change a key. `parts` is None for a deletion."""

    number: int
    parts: list | None
    meta: str | None = None
    sent: float = 0.0
    answered: float = FOREVER
    refused: bool = False

    def body(self):
        return b"".join(part_body(seed, size) for seed, size in self.parts)


def part_body(seed, size):
    return random.Random(seed).randbytes(size)


@dataclass
class Upload:
    """A multipart upload as its client knows it."""

    key: str
    id: str
    meta: str
    # Part number to the contents that may stand there, each as [(seed, size),
    # whether it was acknowledged].
    parts: dict = field(default_factory=dict)
    # open, completing, completed, aborting or aborted
    state: str = "open"
    # The write its completion is, once that was sent.
    write: Write | None = None


class Model:
    def __init__(self):
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._writes = {}
        self.uploads = []

    def begin(self, key, parts, meta=None):
        """Notes a write that is about to be sent."""
        with self._lock:
            write = Write(next(self._numbers), parts, meta, time.monotonic())
            self._writes.setdefault(key, []).append(write)
            return write

    def acknowledge(self, write):
        write.answered = time.monotonic()

    def refuse(self, write):
        """The server said no: the write has not happened and never will."""
        write.refused = True

    def keys(self):
        with self._lock:
            return sorted(self._writes)

    def possible(self, key):
        """Writes whose outcome the key may show now; None stands for no write yet."""
        with self._lock:
            writes = [w for w in self._writes.get(key, []) if not w.refused]
        latest = max((w.sent for w in writes if w.answered != FOREVER), default=None)
        if latest is None:
            return [None, *writes]
        return [w for w in writes if w.answered >= latest]

    def current(self, key):
        """What a key with a single writer holds, as that one knows."""
        (write,) = self.possible(key)
        return write if write and write.parts is not None else None

    def settle(self, key, write):
        """Takes what was seen after a restart as the truth from here on."""
        with self._lock:
            if write is None:
                self._writes.pop(key, None)
            else:
                write.answered = time.monotonic()
                self._writes[key] = [write]


def matches(write, answer):
    """Whether an answer to GET shows this write's outcome, to the last byte."""
    if write is None or write.parts is None:
        return answer.status == 404
    return (
        answer.status == 200
        and answer.header("x-cos-meta-write") == write.meta
        and answer.header("Content-Type") == content_type(write.meta)
        and answer.body == write.body()
        and expected_etag(write) in (None, answer.header("ETag"))
    )


def content_type(meta):
    """The type that a write with this metadata gives its object."""
    return f"crash/{hashlib.md5(meta.encode()).hexdigest()}"


def expected_etag(write):
    """None where it is the server's to choose."""
    if write.meta.startswith("append"):
        return None
    digests = [hashlib.md5(part_body(*part)).digest() for part in write.parts]
    if write.meta.startswith("multipart"):
        return f'"{hashlib.md5(b"".join(digests)).hexdigest()}-{len(digests)}"'
    return f'"{hashlib.md5(write.body()).hexdigest()}"'
