"""The server is killed at random moments under load and must lose nothing.

Each cycle: start, let writers work, SIGKILL (sometimes once more while it
recovers), start again, compare everything with the model, then stop and run
fsck. All cycles share one data directory, or, beside a Ceph cluster, one namespace that
two gateways serve, which are killed together.

    COSTREL_CRASH_CYCLES=500 COSTREL_CRASH_SEED=1 pytest crash
"""

import hashlib
import os
import random
import re
import threading
import time

import pytest

import harness
from harness import new_server
from crash_model import Model, Upload, content_type, matches, part_body
from killing import GONE, client, expect, start_again, stop_and_check

CYCLES = int(os.environ.get("COSTREL_CRASH_CYCLES", "50"))
SEED = int(os.environ.get("COSTREL_CRASH_SEED", random.SystemRandom().randrange(2**32)))
WRITERS = 12
KEYS = 160
MIB = 1024 * 1024
# Appended objects begin anew at this length.
GROWN = 2 * MIB
BUCKET = f"crash-{harness.APPID}"


class World:
    def __init__(self):
        self.server = new_server()
        self.model = Model()
        self.rng = random.Random(SEED)
        self.sources = {}

    def prepare(self):
        """The bucket, and objects that are only copied from."""
        self.server.start()
        assert self.server.cos("PUT", BUCKET).status == 200
        for key, size in (("source/small", 900), ("source/large", 700_000)):
            data = part_body(size, size)
            assert self.server.cos("PUT", BUCKET, key, body=data).status == 200
            self.sources[key] = size
        assert self.server.stop() == 0


@pytest.fixture(scope="module")
def world():
    print(f"seed {SEED}")
    world = World()
    world.prepare()
    yield world
    world.server.start()
    # Whatever the dead have left is found and freed.
    time.sleep(world.server.leftovers_s)
    assert world.server.stop() == 0
    fsck = world.server.fsck()
    assert " 0 left to the collector\n" in fsck.stdout, fsck.stdout + fsck.stderr
    world.server.finish()


@pytest.mark.parametrize("cycle", range(CYCLES))
def test_cycle(world, cycle):
    print(f"seed {SEED} cycle {cycle}")
    rng = random.Random(world.rng.random())
    server = world.server.start()
    worked = work(world, rng, seconds=rng.choice([0.05, 0.3, 0.8, 1.5]) * server.slowness)
    start_again(server, rng)
    verify(world)
    if rng.random() < 0.5:
        carry_on(world)
    stop_and_check(server, f"seed {SEED} cycle {cycle}")
    print(f"{worked} answered writes, {len(world.model.keys())} keys")


# -- load ------------------------------------------------------------------------


def work(world, rng, seconds):
    """Runs writers and readers until the server is killed under them."""
    stop = threading.Event()
    answered = [0] * WRITERS
    trouble = []

    def guarded(run, *arguments):
        try:
            run(*arguments)
        except BaseException as failure:
            trouble.append(failure)

    def writer(n, seed):
        mine = random.Random(seed)
        mine.writer = n
        with client(world.server, BUCKET) as send:
            while not stop.is_set():
                try:
                    one_write(world, mine, send)
                    answered[n] += 1
                except GONE:
                    return

    def reader(seed):
        mine = random.Random(seed)
        with client(world.server, BUCKET) as send:
            while not stop.is_set():
                try:
                    one_read(mine, send)
                except GONE:
                    return

    seeds = [rng.random() for _ in range(WRITERS + 2)]
    threads = [threading.Thread(target=guarded, args=(writer, n, seeds[n])) for n in range(WRITERS)]
    threads += [threading.Thread(target=guarded, args=(reader, seed)) for seed in seeds[WRITERS:]]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    world.server.kill()
    stop.set()
    for thread in threads:
        thread.join()
    assert not trouble, trouble
    return sum(answered)


def some_key(rng):
    # Few keys are hot, so that writes to one key really meet.
    return f"k/{int(KEYS * rng.random() ** 2):03d}"


def one_write(world, rng, send):
    kind = rng.choices(
        [put, delete, copy, create, multi_delete, multipart, append],
        weights=[50, 10, 8, 8, 4, 12, 10],
    )[0]
    kind(world, rng, send)


def some_size(rng):
    return rng.choice([0, rng.randrange(200), rng.randrange(65_536), 65_536 + rng.randrange(1000),
                       rng.randrange(MIB), rng.randrange(3 * MIB)])


def named(meta):
    return {"x-cos-meta-write": meta, "Content-Type": content_type(meta)}


def put(world, rng, send, **headers):
    key, size, seed = some_key(rng), some_size(rng), rng.random()
    write = world.model.begin(key, [(seed, size)], f"put {seed}")
    headers = {**named(write.meta), **headers}
    answer = expect(send("PUT", key, headers=headers, body=part_body(seed, size)), 200, 409)
    if answer.status == 200:
        world.model.acknowledge(write)
    else:
        world.model.refuse(write)


def create(world, rng, send):
    put(world, rng, send, **{"x-cos-forbid-overwrite": "true"})


def delete(world, rng, send):
    key = some_key(rng)
    write = world.model.begin(key, None)
    expect(send("DELETE", key), 204)
    world.model.acknowledge(write)


def multi_delete(world, rng, send):
    keys = sorted({some_key(rng) for _ in range(5)})
    writes = [world.model.begin(key, None) for key in keys]
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    answer = expect(send("POST", query={"delete": ""}, body=f"<Delete>{objects}</Delete>".encode()), 200)
    assert answer.body.count(b"<Deleted>") == len(keys), answer
    for write in writes:
        world.model.acknowledge(write)


def copy(world, rng, send):
    key = some_key(rng)
    source = rng.choice(sorted(world.sources))
    size = world.sources[source]
    write = world.model.begin(key, [(size, size)], f"copy {rng.random()}")
    headers = {
        "x-cos-copy-source": f"{harness.host_of(BUCKET)}/{source}",
        "x-cos-metadata-directive": "Replaced",
        **named(write.meta),
    }
    answer = expect(send("PUT", key, headers=headers), 200)
    assert b"<ETag>" in answer.body, answer
    world.model.acknowledge(write)


def append(world, rng, send):
    """Appends to an object that nobody else writes; a long one begins anew."""
    key, seed, size = f"k/grown-{rng.writer:02d}", rng.random(), some_size(rng)
    known = world.model.current(key)
    parts = known.parts if known else []
    position = sum(size for _, size in parts)
    if position > GROWN:
        write = world.model.begin(key, None)
        expect(send("DELETE", key), 204)
        return world.model.acknowledge(write)
    # What it is named by comes with its first bytes.
    write = world.model.begin(key, [*parts, (seed, size)], known.meta if known else f"append {seed}")
    query = {"append": "", "position": position}
    headers = named(write.meta) if not known else {}
    answer = expect(send("POST", key, query=query, headers=headers, body=part_body(seed, size)), 200)
    assert answer.header("x-cos-next-append-position") == str(position + size), answer
    world.model.acknowledge(write)


def multipart(world, rng, send):
    """Begins an upload, or goes on with one; now and then aborts it."""
    key, meta = some_key(rng), f"multipart {rng.random()}"
    answer = expect(send("POST", key, query={"uploads": ""}, headers=named(meta)), 200)
    upload = Upload(key, re.search(rb"<UploadId>(.*)</UploadId>", answer.body)[1].decode(), meta)
    world.model.uploads.append(upload)
    count = rng.randrange(1, 4)
    for number in range(1, count + 1):
        upload_part(rng, send, upload, number, last=number == count)
        if rng.random() < 0.1:  # the same number again
            upload_part(rng, send, upload, number, last=number == count)
    choice = rng.random()
    if choice < 0.2:
        return  # left open, to be found after the crash
    if choice < 0.35:
        upload.state = "aborting"
        expect(send("DELETE", key, query={"uploadId": upload.id}), 204)
        upload.state = "aborted"
        return
    complete(world, send, upload)


def upload_part(rng, send, upload, number, last):
    seed = rng.random()
    size = rng.randrange(1, MIB) if last else MIB + rng.randrange(1000)
    known = upload.parts.setdefault(number, [])
    known.append([(seed, size), False])
    query = {"partNumber": number, "uploadId": upload.id}
    expect(send("PUT", upload.key, query=query, body=part_body(seed, size)), 200)
    # From here on only this content may stand under the number.
    upload.parts[number] = [[(seed, size), True]]


def complete(world, send, upload):
    parts = [upload.parts[number][-1][0] for number in sorted(upload.parts)]
    write = world.model.begin(upload.key, parts, upload.meta)
    upload.state, upload.write = "completing", write
    etags = [etag_of_part(part) for part in parts]
    listed = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>"
        for n, etag in zip(sorted(upload.parts), etags)
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    answer = expect(send("POST", upload.key, query={"uploadId": upload.id}, body=body), 200)
    assert b"<ETag>" in answer.body, answer
    world.model.acknowledge(write)
    upload.state = "completed"


def etag_of_part(part):
    return f'"{hashlib.md5(part_body(*part)).hexdigest()}"'


def one_read(rng, send):
    """A body is never torn: it is the one its own headers tell of."""
    answer = expect(send("GET", some_key(rng)), 200, 404)
    if answer.status == 404:
        return
    kind, seed = answer.header("x-cos-meta-write").split(" ")
    if kind == "put":
        assert answer.body == part_body(float(seed), len(answer.body)), answer.headers


# -- comparison --------------------------------------------------------------------


def verify(world):
    seen = {}
    with client(world.server, BUCKET) as send:
        for key in world.model.keys():
            answer = expect(send("GET", key), 200, 404)
            shown = [w for w in world.model.possible(key) if matches(w, answer)]
            assert shown, (
                f"{key}: {answer.status} {answer.headers} {len(answer.body)} bytes;"
                f" possible: {world.model.possible(key)}"
            )
            world.model.settle(key, shown[-1])
            if answer.status == 200:
                head = expect(send("HEAD", key), 200)
                for name in ("ETag", "Content-Length", "Content-Type", "x-cos-meta-write"):
                    assert head.header(name) == answer.header(name), (key, name, head)
                seen[key] = (answer.header("ETag"), len(answer.body))
        for key, size in world.sources.items():
            answer = expect(send("GET", key), 200)
            assert answer.body == part_body(size, size), key
            seen[key] = (answer.header("ETag"), size)
        assert listing(send) == seen
        folders = expect(send("GET", query={"delimiter": "/"}), 200).body
        shown = re.findall(rb"<CommonPrefixes>\s*<Prefix>(.*?)</Prefix>", folders)
        assert {p.decode() for p in shown} == {key.split("/")[0] + "/" for key in seen}, folders
        verify_uploads(world, send)


def listing(send):
    """Every key the bucket lists, with ETag and size."""
    found, marker = {}, ""
    while True:
        page = expect(send("GET", query={"marker": marker, "max-keys": "70"}), 200).body.decode()
        for entry in re.findall(r"<Contents>(.*?)</Contents>", page, re.DOTALL):
            key = re.search(r"<Key>(.*?)</Key>", entry)[1]
            etag = re.search(r"<ETag>(.*?)</ETag>", entry)[1].replace("&quot;", '"')
            assert key not in found, key
            found[key] = (etag, int(re.search(r"<Size>(\d+)</Size>", entry)[1]))
        if "<IsTruncated>true" not in page:
            return found
        marker = re.search(r"<NextMarker>(.*?)</NextMarker>", page)[1]


def verify_uploads(world, send):
    """Open uploads are there with their parts; ended ones are not."""
    still_open = []
    for upload in world.model.uploads:
        answer = send("GET", upload.key, query={"uploadId": upload.id})
        allowed = {
            "open": (200,),
            "completing": (200, 404),
            "completed": (404,),
            "aborting": (200, 404),
            "aborted": (404,),
        }[upload.state]
        assert answer.status in allowed, (upload, answer)
        if answer.status == 404:
            continue
        assert upload.state != "completing" or not matches(
            upload.write, send("GET", upload.key)
        ), f"completed and still open: {upload}"
        upload.state = "open"
        listed = {
            int(number): (etag.replace("&quot;", '"'), int(size))
            for number, etag, size in re.findall(
                r"<PartNumber>(\d+)</PartNumber>.*?<ETag>(.*?)</ETag>.*?<Size>(\d+)</Size>",
                answer.body.decode(), re.DOTALL,
            )
        }
        for number in sorted(set(upload.parts) | set(listed)):
            possible = upload.parts.get(number, [])
            shown = [
                content for content, _ in possible
                if listed.get(number) == (etag_of_part(content), content[1])
            ]
            if number not in listed:
                assert not any(acknowledged for _, acknowledged in possible), (upload, number, listed)
                upload.parts.pop(number, None)
            else:
                assert shown, (upload, number, listed)
                upload.parts[number] = [[shown[-1], True]]
        still_open.append(upload)
    world.model.uploads = still_open
    page = expect(send("GET", query={"uploads": ""}), 200).body.decode()
    if "<IsTruncated>true" not in page:
        # Uploads whose beginning was never answered may be there too: ids we know must be.
        ids = set(re.findall(r"<UploadId>(.*?)</UploadId>", page))
        assert {upload.id for upload in still_open} <= ids


def carry_on(world):
    """Finishes or aborts what the crash left open, and the strangers with it."""
    with client(world.server, BUCKET) as send:
        for number, upload in enumerate(world.model.uploads):
            if number % 2 and sorted(upload.parts) and all(
                size >= MIB for (_, size) in [upload.parts[n][-1][0] for n in sorted(upload.parts)[:-1]]
            ):
                complete(world, send, upload)
            else:
                expect(send("DELETE", upload.key, query={"uploadId": upload.id}), 204)
                upload.state = "aborted"
        verify_uploads(world, send)
        page = expect(send("GET", query={"uploads": ""}), 200).body.decode()
        for key, upload_id in re.findall(r"<Key>(.*?)</Key>\s*<UploadId>(.*?)</UploadId>", page, re.DOTALL):
            expect(send("DELETE", key, query={"uploadId": upload_id}), 204)
