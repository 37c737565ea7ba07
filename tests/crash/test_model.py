"""The judge itself: it must refuse what a store may not show."""

import hashlib

from crash_model import Model, content_type, expected_etag, matches, part_body


class Shown:
    """An answer to GET."""

    def __init__(self, write=None, body=None, meta=None, type=None):
        self.type = type
        self.status = 200 if write else 404
        self.body = (write.body() if body is None else body) if write else b""
        self.meta = meta or (write and write.meta)
        self.etag = write and expected_etag(write)

    def header(self, name):
        known = {"x-cos-meta-write": self.meta, "ETag": self.etag}
        return {**known, "Content-Type": self.type or content_type(self.meta)}[name]


def judged(model, key, shown):
    return any(matches(write, shown) for write in model.possible(key))


def write(model, parts=((1, 10),), answered=True, key="k", meta="put 1"):
    done = model.begin(key, list(parts), meta)
    if answered:
        model.acknowledge(done)
    return done


def delete(model, answered=True):
    done = model.begin("k", None)
    if answered:
        model.acknowledge(done)


def test_an_acknowledged_write_is_there_alone():
    model = Model()
    old = write(model)
    new = write(model, [(2, 10)], meta="put 2")
    assert judged(model, "k", Shown(new))
    assert not judged(model, "k", Shown(old))
    assert not judged(model, "k", Shown())


def test_an_unanswered_write_may_have_happened():
    model = Model()
    assert judged(model, "k", Shown())
    lost = write(model, answered=False)
    assert judged(model, "k", Shown()) and judged(model, "k", Shown(lost))
    done = write(model, [(2, 10)], meta="put 2")
    # It was never answered, so it may also come last.
    assert judged(model, "k", Shown(done)) and judged(model, "k", Shown(lost))
    assert not judged(model, "k", Shown())


def test_writes_that_met_may_end_either_way():
    model = Model()
    one, two = model.begin("k", [(1, 5)], "put 1"), model.begin("k", [(2, 5)], "put 2")
    model.acknowledge(one)
    model.acknowledge(two)
    assert judged(model, "k", Shown(one)) and judged(model, "k", Shown(two))


def test_a_deletion_is_a_write():
    model = Model()
    old = write(model)
    delete(model)
    assert judged(model, "k", Shown()) and not judged(model, "k", Shown(old))


def test_a_refused_write_never_shows():
    model = Model()
    old = write(model)
    no = write(model, [(2, 10)], answered=False, meta="put 2")
    model.refuse(no)
    assert judged(model, "k", Shown(old)) and not judged(model, "k", Shown(no))


def test_torn_and_mixed_contents_are_refused():
    model = Model()
    one = write(model, [(1, 1000)])
    two = write(model, [(2, 1000)], answered=False, meta="put 2")
    assert not judged(model, "k", Shown(two, body=two.body()[:500] + one.body()[500:]))
    assert not judged(model, "k", Shown(two, body=two.body()[:999]))
    assert not judged(model, "k", Shown(two, meta=one.meta))
    assert not judged(model, "k", Shown(two, type=content_type(one.meta)))


def test_what_was_seen_becomes_the_truth():
    model = Model()
    old = write(model)
    lost = write(model, [(2, 10)], answered=False, meta="put 2")
    model.settle("k", old)
    assert judged(model, "k", Shown(old)) and not judged(model, "k", Shown(lost))
    model.settle("k", None)
    assert judged(model, "k", Shown()) and not judged(model, "k", Shown(old))


def test_the_etag_of_parts():
    model = Model()
    upload = write(model, [(1, 10), (2, 20)], meta="multipart 1")
    digests = b"".join(hashlib.md5(part_body(*part)).digest() for part in ((1, 10), (2, 20)))
    assert expected_etag(upload) == f'"{hashlib.md5(digests).hexdigest()}-2"'


def test_a_key_with_one_writer():
    model = Model()
    assert model.current("k") is None
    grown = write(model, [(1, 10), (2, 20)], meta="append 1")
    assert model.current("k") is grown
    assert judged(model, "k", Shown(grown)) and not judged(model, "k", Shown(grown, body=b"0"))
    delete(model)
    assert model.current("k") is None
