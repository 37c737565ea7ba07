"""Index shards that split and merge under load, and gateways that die meanwhile."""

import http.client
import re
import threading
import time

import pytest

import harness
from rados.cluster import META_POOL
from rados.gateways import Gateways
from rados.test_gateways import settle

BUCKET = f"sharded-{harness.APPID}"
SHARD_ROWS = 150


@pytest.fixture
def gateways(cluster):
    args = ["--rados-op-timeout", "5s", "--rados-shard-rows", str(SHARD_ROWS)]
    gateways = Gateways(cluster.conf, args=args).start()
    yield gateways
    try:
        ends = [gateway.process.poll() for gateway in gateways.gateways]
        assert all(end in (None, 0) for end in ends), f"{ends}\n{gateways.log()}"
        assert "panicked" not in gateways.log(), gateways.log()
    finally:
        gateways.discard()


class Fillers:
    """Clients that put small objects under keys of their own, in no order, and
    remember which were acknowledged."""

    def __init__(self, gateways, count=3):
        self.gateways = gateways
        self.acknowledged = set()
        self.unknown = set()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, filler):
        number = 0
        while not self.ending.is_set():
            number += 1
            key = f"{number * 7919 % 10007:05}-{filler}"
            gateway = self.gateways.gateways[(filler + number) % 2]
            try:
                answer = gateway.cos("PUT", BUCKET, key, body=key.encode())
                assert answer.status in (200, 503), answer
                taken = answer.status == 200
            except (OSError, http.client.HTTPException):
                taken = False
            time.sleep(0.02)
            (self.acknowledged if taken else self.unknown).add(key)

    def wait_for(self, count):
        deadline = time.monotonic() + 120
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} writes"
            time.sleep(0.05)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def check(self, gateway):
        """The list shows every acknowledged key once and no other."""
        listed, marker = [], ""
        while True:
            page = gateway.cos("GET", BUCKET, query={"marker": marker, "max-keys": "1000"})
            assert page.status == 200, page
            keys = [key.decode() for key in re.findall(rb"<Key>([^<]*)</Key>", page.body)]
            listed.extend(keys)
            if b"<IsTruncated>true<" not in page.body:
                break
            marker = keys[-1]
        assert listed == sorted(set(listed))
        missing = self.acknowledged - set(listed)
        assert not missing, f"lost: {sorted(missing)[:5]}"
        ghosts = set(listed) - self.acknowledged - self.unknown
        assert not ghosts, f"ghosts: {sorted(ghosts)[:5]}"


def roots(cluster, gateways):
    objects = cluster.objects(META_POOL, gateways.namespace)
    return [name for name in objects if name.endswith(".root")]


def changes_under_way(cluster, gateways):
    rows = [
        cluster.omap(META_POOL, gateways.namespace, root) for root in roots(cluster, gateways)
    ]
    return [key for keys in rows for key in keys if key.startswith("x")]


def splits(gateway):
    return gateway.metric("costrel_rados_splits_total") or 0


def wait_until(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def targets(change):
    """Those of a change under way, see docs/formats/rados.md."""
    rest = change[6 + 8 * int.from_bytes(change[2:6]) :]
    while rest:
        yield rest[:8].hex()
        rest = rest[12 + int.from_bytes(rest[8:12]) :]


def check_shards(cluster, gateways):
    """Every shard is named by its root: nothing is left that nobody would remove."""
    named = set()
    for root in roots(cluster, gateways):
        partition = root.removesuffix(".root")
        named.add(root)
        for key, value in cluster.omap(META_POOL, gateways.namespace, root).items():
            if key[:1] == "s":
                named.add(f"{partition}.{value.hex()}")
            elif key[:1] == "r":
                named.add(f"{partition}.{key[1:]}")
            elif key[:1] == "x":
                # Stopped halfway: the next to start ends it.
                named.update(f"{partition}.{target}" for target in targets(value))
    there = {name for name in cluster.objects(META_POOL, gateways.namespace) if "." in name}
    # What a change under way names may not have been made yet.
    assert there <= named, there - named


def deleted(gateways, key):
    """Again when no connection to a gateway could be made. One that was made and broke
    off is noted by the front, and looked at in the end."""
    for _ in range(40):
        try:
            return gateways.cos("DELETE", BUCKET, key)
        except (OSError, http.client.HTTPException) as failure:
            last = failure
            time.sleep(0.25)
    raise last


def test_a_gateway_that_dies_inside_a_split_loses_nothing(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    fillers = Fillers(gateways)
    try:
        wait_until(lambda: any(splits(g) >= 2 for g in gateways.gateways), "nothing splits")
        one, two = gateways.gateways
        victim, other = (one, two) if splits(one) else (two, one)
        deadline = time.monotonic() + 120
        while True:
            # Stopped first, so that it dies where it was seen.
            victim.process.send_signal(19)
            if changes_under_way(cluster, gateways):
                break
            victim.process.send_signal(18)
            assert time.monotonic() < deadline, "it was never met inside a split"
            time.sleep(0.05)
        victim.kill()
        before = splits(other)
        wait_until(lambda: splits(other) > before, "nobody has taken over")
        fillers.wait_for(len(fillers.acknowledged) + 100)
    finally:
        fillers.end()
    wait_until(lambda: not changes_under_way(cluster, gateways), "a change is never ended")
    fillers.check(other)
    victim.start()
    keys = sorted(fillers.acknowledged | fillers.unknown)

    def delete(n):
        for key in keys[n::8]:
            assert deleted(gateways, key).status == 204

    noted = len(gateways.front.unanswered)
    harness.in_threads(8, delete)
    unanswered = gateways.front.unanswered[noted:]
    assert not unanswered, f"{unanswered}\n{gateways.log()}"
    wait_until(lambda: gateways.metric("costrel_rados_merges_total") > 0, "nothing merges")
    assert b"<Key>" not in gateways.cos("GET", BUCKET).body
    settle(gateways)
    check_shards(cluster, gateways)
