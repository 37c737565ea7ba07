"""The server is killed at random moments while versions are made, marked, tagged,
retained and removed: none that was acknowledged is lost or changes its place, none
comes twice, and what was retained stays and stays retained.

Each writer has keys of its own, so that it knows the order of their versions. All
cycles share one data directory.
"""

import hashlib
import os
import random
import re
import threading
import time

import pytest

import harness
from harness import Server
from killing import GONE, client, expect, start_again, stop_and_check
from versions_model import Shown, Version, body, explain, looks_like

CYCLES = int(os.environ.get("COSTREL_CRASH_CYCLES", "50")) // 2
SEED = int(os.environ.get("COSTREL_CRASH_SEED", random.SystemRandom().randrange(2**32)))
WRITERS = 8
KEYS_EACH = 3
# Of a key, before the older ones are removed.
VERSIONS = 12
BUCKET = f"versions-{harness.APPID}"
FOREVER = "2140-01-01T00:00:00.000Z"


class World:
    def __init__(self):
        self.server = Server()
        self.rng = random.Random(SEED)
        self.keys = {f"k/{writer}-{n}": [] for writer in range(WRITERS) for n in range(KEYS_EACH)}

    def prepare(self):
        self.server.start()
        lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
        versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        expect(self.server.cos("PUT", BUCKET), 200)
        expect(self.server.cos("PUT", BUCKET, query={"object-lock": ""}, body=lock.encode()), 200)
        expect(self.server.cos("PUT", BUCKET, query={"versioning": ""}, body=versioning.encode()), 200)
        assert self.server.stop() == 0


@pytest.fixture(scope="module")
def world():
    print(f"seed {SEED}")
    world = World()
    world.prepare()
    yield world
    world.server.start()
    world.server.finish()


@pytest.mark.parametrize("cycle", range(CYCLES))
def test_cycle(world, cycle):
    print(f"seed {SEED} cycle {cycle}")
    rng = random.Random(world.rng.random())
    server = world.server.start()
    work(world, rng, seconds=rng.choice([0.05, 0.3, 0.8, 1.5]))
    start_again(server, rng)
    verify(world, rng)
    stop_and_check(server, f"seed {SEED} cycle {cycle}")


# -- load ------------------------------------------------------------------------


def work(world, rng, seconds):
    stop = threading.Event()
    trouble = []

    def writer(number, seed):
        mine = random.Random(seed)
        keys = [key for key in world.keys if key.startswith(f"k/{number}-")]
        try:
            with client(world.server, BUCKET) as send:
                while not stop.is_set():
                    key = mine.choice(keys)
                    one_write(mine, send, key, world.keys[key])
        except GONE:
            pass
        except BaseException as failure:
            trouble.append(failure)

    threads = [threading.Thread(target=writer, args=(n, rng.random())) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    world.server.kill()
    stop.set()
    for thread in threads:
        thread.join()
    assert not trouble, trouble


def one_write(rng, send, key, versions):
    objects = [version for version in versions if version.body is not None]
    kind = rng.random()
    if len(versions) > VERSIONS:
        remove(send, key, versions, rng.choice(versions))
    elif kind < 0.5 or not objects:
        put(rng, send, key, versions)
    elif kind < 0.65:
        mark(send, key, versions)
    elif kind < 0.8:
        remove(send, key, versions, rng.choice(versions))
    elif kind < 0.95:
        tag(rng, send, key, rng.choice(objects))
    else:
        retain(send, key, rng.choice(objects))


def put(rng, send, key, versions):
    size = rng.choice([0, rng.randrange(200), rng.randrange(65_536), 65_536 + rng.randrange(400_000)])
    version = Version(body(rng.random(), size))
    headers = {}
    if rng.random() < 0.05:
        version.retained = "yes"
        headers = {"x-cos-object-lock-mode": "COMPLIANCE", "x-cos-object-lock-retain-until-date": FOREVER}
    versions.append(version)
    version.id = expect(send("PUT", key, headers=headers, body=version.body), 200).header("x-cos-version-id")


def mark(send, key, versions):
    version = Version(None)
    versions.append(version)
    version.id = expect(send("DELETE", key), 204).header("x-cos-version-id")


def remove(send, key, versions, version):
    version.removing = True
    answer = expect(send("DELETE", key, query={"versionId": version.id}), 204, 409)
    if answer.status == 409:
        assert version.retained != "no", answer
        version.removing = False
    else:
        assert version.retained != "yes", f"{key} {version.id} was retained and is gone"
        versions.remove(version)


def tag(rng, send, key, version):
    value = str(rng.random())
    version.tags = (version.tags[-1], value)
    document = f"<Tagging><TagSet><Tag><Key>t</Key><Value>{value}</Value></Tag></TagSet></Tagging>"
    query = {"tagging": "", "versionId": version.id}
    expect(send("PUT", key, query=query, body=document.encode()), 200)
    version.tags = (value,)


def retain(send, key, version):
    if version.retained == "no":
        version.retained = "maybe"
    document = f"<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>{FOREVER}</RetainUntilDate></Retention>"
    query = {"retention": "", "versionId": version.id}
    expect(send("PUT", key, query=query, body=document.encode()), 200)
    version.retained = "yes"


# -- comparison --------------------------------------------------------------------


def verify(world, rng):
    with client(world.server, BUCKET) as send:
        listed = listing(send)
        assert set(listed) <= set(world.keys)
        for key, sent in world.keys.items():
            there = explain(sent, listed.get(key, []))
            world.keys[key] = there
            current = expect(send("GET", key), 200, 404)
            if there and there[-1].body is not None:
                assert current.body == there[-1].body, key
            else:
                assert current.status == 404, key
            for version in there:
                if version.body is not None:
                    verify_object(send, key, version, removing=rng.random() < 0.3)
        assert listing(send) == listed


def verify_object(send, key, version, removing):
    query = {"versionId": version.id}
    answer = expect(send("GET", key, query=query), 200)
    assert answer.body == version.body, (key, version.id)
    tags = expect(send("GET", key, query={"tagging": "", **query}), 200).body.decode()
    value = re.search(r"<Value>(.*?)</Value>", tags)
    value = value and value[1]
    assert value in version.tags, (key, version.id, value, version.tags)
    version.tags = (value,)
    retained = answer.header("x-cos-object-lock-mode") == "COMPLIANCE"
    assert version.retained in ("maybe", "yes" if retained else "no"), (key, version.id, answer)
    version.retained = "yes" if retained else "no"
    if retained and removing:
        refused = expect(send("DELETE", key, query=query), 409)
        assert refused.code() == "ObjectLocked", refused


def listing(send):
    """The versions of each key, newest first, as pages show them."""
    found, marker = {}, {}
    while True:
        page = expect(send("GET", query={"versions": "", "max-keys": "70", **marker}), 200).body.decode()
        for kind, entry in re.findall(r"<(Version|DeleteMarker)>(.*?)</\1>", page, re.DOTALL):
            def element(name, entry=entry):
                match = re.search(rf"<{name}>(.*?)</{name}>", entry)
                return match[1].replace("&quot;", '"') if match else None

            shown = Shown(
                element("VersionId"), kind == "DeleteMarker", element("IsLatest") == "true",
                element("ETag"), int(element("Size") or 0),
            )
            found.setdefault(element("Key"), []).append(shown)
        if "<IsTruncated>true" not in page:
            return found
        marker = {
            "key-marker": re.search(r"<NextKeyMarker>(.*?)</NextKeyMarker>", page)[1],
            "version-id-marker": re.search(r"<NextVersionIdMarker>(.*?)</NextVersionIdMarker>", page)[1],
        }


# -- the judge itself ----------------------------------------------------------------


def shown(version, latest, id=None):
    entry = Shown(id or version.id, version.body is None, latest, "", len(version.body or b""))
    if version.body is not None:
        entry.etag = f'"{hashlib.md5(version.body).hexdigest()}"'
    assert looks_like(version, entry)
    return entry


def test_the_judge_refuses_what_cannot_be():
    def versions():
        old, new = Version(b"old", "1"), Version(b"new", "2")
        return old, new, Version(None), Version(b"kept", "3", retained="yes", removing=True)

    old, new, unanswered, kept = versions()
    assert explain([old, new, unanswered], [shown(new, True), shown(old, False)]) == [old, new]
    old, new, unanswered, kept = versions()
    listed = [shown(unanswered, True, "9"), shown(new, False), shown(old, False)]
    assert explain([old, new, unanswered], listed) == [old, new, unanswered]
    marked, again = Version(None, "4"), Version(None)
    assert explain([marked, again], [shown(marked, True)]) == [marked]
    old, new, unanswered, kept = versions()
    new.removing = True
    assert explain([old, new], [shown(old, True)]) == [old]
    for sent, listed in [
        # One that was acknowledged is missing.
        (lambda o, n, u, k: [o, n], lambda o, n, u, k: [shown(n, True)]),
        # They changed places.
        (lambda o, n, u, k: [o, n], lambda o, n, u, k: [shown(o, True), shown(n, False)]),
        # One comes twice.
        (lambda o, n, u, k: [o, n], lambda o, n, u, k: [shown(n, True), shown(n, False), shown(o, False)]),
        # What was retained went although its removal was only tried.
        (lambda o, n, u, k: [o, k], lambda o, n, u, k: [shown(o, True)]),
        # An old one is the latest.
        (lambda o, n, u, k: [o, n], lambda o, n, u, k: [shown(n, False), shown(o, True)]),
        # A stranger.
        (lambda o, n, u, k: [o], lambda o, n, u, k: [shown(n, True), shown(o, False)]),
    ]:
        with pytest.raises(AssertionError):
            explain(sent(*versions()), listed(*versions()))
