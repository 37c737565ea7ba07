"""Several gateways on one cluster, and what the cluster does to them."""

import hashlib
import http.client
import re
import threading
import time

import pytest

import harness
from hooks import ALL, Hook, queue, settle as settle_events, started, target, tell
from rados.cluster import DATA_POOL, META_POOL
from rados.gateways import GRACE_S, PENDING_S, Gateways
from s3client import s3

BUCKET = f"shared-{harness.APPID}"


@pytest.fixture
def gateways(cluster):
    """Two gateways that give an operation five seconds."""
    gateways = Gateways(cluster.conf, args=["--rados-op-timeout", "5s"]).start()
    yield gateways
    gateways.discard()


def body_of(name):
    """Bytes that a name determines, small for some and several pieces for others."""
    number = int(name.rsplit("-", 1)[1])
    length = [100, 3000, 70_000, 5_000_000][number % 4] if number % 8 != 7 else 9_000_000
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (length // len(seed) + 1))[:length]


class Writers:
    """Clients that put and overwrite, remember what was acknowledged, and go on
    through errors."""

    def __init__(self, gateways, count=6):
        self.gateways = gateways
        self.acknowledged = {}
        # Of a put without an answer nothing is known.
        self.unknown = {}
        self.refused = []
        self.slowest = 0
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, writer):
        number = 0
        while not self.ending.is_set():
            key, content = f"w{writer}-{number % 12}", f"w{writer}-{number}"
            number += 1
            begun = time.monotonic()
            try:
                answer = self.gateways.cos("PUT", BUCKET, key, body=body_of(content))
            except (OSError, http.client.HTTPException):
                self.unknown.setdefault(key, []).append(content)
                time.sleep(0.1)
                continue
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if answer.status == 200:
                self.acknowledged[key] = content
                self.unknown.pop(key, None)
            else:
                self.unknown.setdefault(key, []).append(content)
                self.refused.append((answer.status, answer.header("Retry-After")))
                time.sleep(0.1)

    def wait_for(self, more, seconds=60):
        """Until so many more puts have been acknowledged."""
        contents = set(self.acknowledged.values())
        deadline = time.monotonic() + seconds
        while len(set(self.acknowledged.values()) - contents) < more:
            assert time.monotonic() < deadline, "writes do not go on"
            time.sleep(0.05)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def check(self):
        """Every acknowledged write is there, through each gateway, unless a later one
        without an answer took its place."""
        assert len(self.acknowledged) > 10
        for gateway in self.gateways.gateways:
            if not gateway.running():
                continue
            for key, content in sorted(self.acknowledged.items()):
                answer = gateway.cos("GET", BUCKET, key)
                assert answer.status == 200, (key, answer)
                possible = [content, *self.unknown.get(key, [])]
                assert any(answer.body == body_of(name) for name in possible), key


def settle(gateways):
    """Ends the gateways and proves that nothing is damaged or leaked."""
    code = gateways.stop()
    assert code == 0, gateways.log()
    fsck = gateways.fsck()
    assert fsck.returncode == 0, f"{fsck.stdout}\n{fsck.stderr}"
    return fsck.stdout


def test_what_one_gateway_does_the_other_obeys(gateways):
    one, two = gateways.gateways
    for round in range(5):
        assert one.cos("PUT", BUCKET).status == 200
        assert two.cos("HEAD", BUCKET).status == 200
        assert two.cos("PUT", BUCKET).code() == "BucketAlreadyOwnedByYou"
        content = f"of round {round}".encode()
        assert one.cos("PUT", BUCKET, "k", body=content).status == 200
        assert two.cos("GET", BUCKET, "k").body == content
        assert two.cos("DELETE", BUCKET).code() == "BucketNotEmpty"
        assert two.cos("DELETE", BUCKET, "k").status == 204
        assert one.cos("HEAD", BUCKET, "k").status == 404
        assert two.cos("DELETE", BUCKET).status == 204
        assert one.cos("HEAD", BUCKET).status == 404
        assert one.cos("PUT", BUCKET, "k", body=b"late").code() == "NoSuchBucket"
    settle(gateways)


def test_one_of_many_conditional_creates_wins(gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    for round in range(10):
        winners = []

        def create(n, key=f"k{round}", winners=winners):
            answer = gateways.gateways[n % 2].cos(
                "PUT", BUCKET, key, headers={"x-cos-forbid-overwrite": "true"}, body=b"%d" % n
            )
            assert answer.status in (200, 409), answer
            if answer.status == 200:
                winners.append(n)

        harness.in_threads(8, create)
        assert len(winners) == 1
        assert gateways.cos("GET", BUCKET, f"k{round}").body == b"%d" % winners[0]
    settle(gateways)


def test_an_osd_that_dies_costs_nothing(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    writers = Writers(gateways)
    try:
        writers.wait_for(10)
        cluster.kill("osd.2")
        writers.wait_for(20)
        cluster.start_osd(2)
        writers.wait_for(20)
    finally:
        writers.end()
        if not cluster.running("osd.2"):
            cluster.start_osd(2)
        cluster.wait_up(3)
    writers.check()
    settle(gateways)


def test_an_osd_that_hangs_costs_time(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    writers = Writers(gateways)
    try:
        writers.wait_for(10)
        cluster.pause("osd.1")
        # Its peers report it after ten seconds, and the others take over.
        time.sleep(15)
        writers.wait_for(20, seconds=120)
        cluster.resume("osd.1")
        cluster.wait_up(3)
        writers.wait_for(20, seconds=120)
    finally:
        cluster.resume("osd.1")
        writers.end()
        cluster.wait_up(3)
    assert {status for status, _ in writers.refused} <= {503}, writers.refused
    writers.check()
    settle(gateways)


def test_without_a_monitor_requests_are_served(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    writers = Writers(gateways)
    try:
        writers.wait_for(10)
        cluster.kill("mon.a")
        time.sleep(60)
        writers.wait_for(20)
        cluster.start_mon()
        cluster.wait_up(3)
        writers.wait_for(20)
    finally:
        writers.end()
        if not cluster.running("mon.a"):
            cluster.start_mon()
    assert not writers.refused
    writers.check()
    settle(gateways)


def test_a_full_cluster_serves_reads_and_deletions(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    large = b"x" * 100_000
    for n in range(3):
        assert gateways.cos("PUT", BUCKET, f"k{n}", body=large).status == 200

    def set_full(near, backfill, full):
        for name, ratio in [("full", full), ("backfillfull", backfill), ("nearfull", near)]:
            cluster.ceph("osd", f"set-{name}-ratio", str(ratio))

    def wait_for(status):
        deadline = time.monotonic() + 90
        while (answer := gateways.cos("PUT", BUCKET, "more", body=large)).status != status:
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)
        return answer

    try:
        set_full(0.00001, 0.00002, 0.00003)
        assert wait_for(507).code() == "InsufficientStorage"
        assert gateways.cos("GET", BUCKET, "k0").body == large
        assert gateways.cos("DELETE", BUCKET, "k0").status == 204
        assert gateways.cos("HEAD", BUCKET, "k0").status == 404
    finally:
        set_full(0.85, 0.90, 0.95)
    wait_for(200)
    assert gateways.cos("GET", BUCKET, "more").body == large
    settle(gateways)


def test_below_min_size_requests_fail_in_time_and_work_again(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    writers = Writers(gateways)
    try:
        writers.wait_for(10)
        for osd in [1, 2]:
            cluster.kill(f"osd.{osd}")
        writers.refused.clear()
        deadline = time.monotonic() + 90
        while len(writers.refused) < 30:
            assert time.monotonic() < deadline, "requests are neither served nor refused"
            time.sleep(0.2)
        assert set(writers.refused) <= {(503, "1")}, writers.refused
        used = gateways.resident_bytes()
        time.sleep(5)
        assert gateways.resident_bytes() < used + (64 << 20), "memory piles up"
        for osd in [1, 2]:
            cluster.start_osd(osd)
        cluster.wait_up(3)
        writers.wait_for(30, seconds=120)
    finally:
        writers.end()
        for osd in [1, 2]:
            if not cluster.running(f"osd.{osd}"):
                cluster.start_osd(osd)
        cluster.wait_up(3)
    writers.check()
    settle(gateways)


def test_a_gateway_that_dies_leaves_nothing_behind(cluster, gateways):
    assert gateways.cos("PUT", BUCKET).status == 200
    writers = Writers(gateways)
    try:
        for _ in range(4):
            writers.wait_for(5)
            victim = gateways.gateways[0]
            victim.kill()
            time.sleep(0.5)
            victim.start()
        writers.wait_for(5)
    finally:
        writers.end()
    writers.check()
    for key in writers.acknowledged | writers.unknown:
        assert gateways.cos("DELETE", BUCKET, key).status == 204
    # What the dead have left is found by its age, 60 seconds here.
    deadline = time.monotonic() + 180
    while objects := cluster.objects(DATA_POOL, gateways.namespace):
        assert time.monotonic() < deadline, f"leaked: {objects}"
        time.sleep(1)
    # The rows that named them go a moment later.
    while " 0 left to the collector" not in (found := settle(gateways)):
        assert time.monotonic() < deadline, found
        gateways.start()
        time.sleep(2)


def test_a_gateway_that_dies_leaves_its_events_to_the_other(cluster, tmp_path, monkeypatch):
    """Both queue events, and one tells them all."""
    monkeypatch.setenv("COSTREL_TEST_CEPH_CONF", cluster.conf)
    hook = Hook()
    gateways = started(tmp_path, [target("hook", hook.url())])
    try:
        assert gateways.cos("PUT", BUCKET).status == 200
        tell(s3(gateways, style="path"), BUCKET, queue("hook", ALL))
        for number in range(20):
            assert gateways.cos("PUT", BUCKET, f"k{number % 5}", body=b"%d" % number).status == 200
        settle_events(hook, 20)
        told = [gateway.metric("costrel_events_sent_total") for gateway in gateways.gateways]
        assert sorted(told) == [0, 20]
        teller, other = gateways.gateways if told[0] else gateways.gateways[::-1]
        hook.status = 503
        for number in range(20):
            assert gateways.cos("PUT", BUCKET, f"k{number % 5}", body=b"%d" % number).status == 200
        teller.kill()
        hook.status = 200
        for number in range(10):
            assert other.cos("PUT", BUCKET, f"k{number % 5}", body=b"%d" % number).status == 200
        assert {key: len(seen) for key, seen in settle_events(hook, 50).items()} == {
            f"k{number}": 10 for number in range(5)
        }
        assert other.metric("costrel_events_sent_total") >= 30
        teller.start()
        settle(gateways)
    finally:
        hook.close()
        gateways.discard()


def test_a_gateway_that_dies_completing_uploads_leaves_them_whole_or_open(gateways):
    """Killed at several moments while it completes several uploads: each is an object,
    or can be completed through another gateway."""
    victim, other = gateways.gateways
    parts = [b"a" * (1 << 20), b"b" * 70_000]
    assert gateways.cos("PUT", BUCKET).status == 200

    def begin(key):
        answer = gateways.cos("POST", BUCKET, key, query={"uploads": ""})
        upload = re.search(rb"<UploadId>(.*)</UploadId>", answer.body)[1].decode()
        listed = []
        for number, part in enumerate(parts, 1):
            query = {"partNumber": str(number), "uploadId": upload}
            answer = gateways.cos("PUT", BUCKET, key, query=query, body=part)
            assert answer.status == 200, answer
            etag = answer.header("ETag")
            listed.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        body = f"<CompleteMultipartUpload>{''.join(listed)}</CompleteMultipartUpload>"
        return key, {"uploadId": upload}, body.encode()

    for round, delay in enumerate([0.005, 0.02, 0.05]):
        uploads = [begin(f"u{round}-{n}") for n in range(6)]
        acknowledged = set()

        def complete(n, uploads=uploads, acknowledged=acknowledged):
            key, query, body = uploads[n]
            try:
                if victim.cos("POST", BUCKET, key, query=query, body=body).status == 200:
                    acknowledged.add(key)
            except (OSError, http.client.HTTPException):
                pass

        threads = [threading.Thread(target=complete, args=(n,)) for n in range(len(uploads))]
        for thread in threads:
            thread.start()
        time.sleep(delay)
        victim.kill()
        for thread in threads:
            thread.join()
        for key, query, body in uploads:
            there = other.cos("HEAD", BUCKET, key).status == 200
            assert there or key not in acknowledged, f"{key} was acknowledged"
            again = other.cos("POST", BUCKET, key, query=query, body=body)
            assert again.status == (404 if there else 200), (there, again)
            assert other.cos("GET", BUCKET, key).body == b"".join(parts)
        victim.start()
    assert b"<UploadId>" not in gateways.cos("GET", BUCKET, query={"uploads": ""}).body
    settle(gateways)


@pytest.fixture
def patient(cluster):
    """Gateways that wait long for a client's bytes."""
    args = ["--rados-op-timeout", "5s", "--idle-timeout", "300s"]
    gateways = Gateways(cluster.conf, args=args).start()
    yield gateways
    gateways.discard()


def test_a_gateway_that_was_away_harms_nothing(cluster, patient):
    """Paused for longer than its memory, its claim and its operations last, and than
    its unfinished upload counts as under way."""
    one, two = patient.gateways
    assert patient.cos("PUT", BUCKET).status == 200
    assert one.cos("PUT", BUCKET, "gone", body=b"old").status == 200
    assert two.cos("GET", BUCKET, "gone").body == b"old"
    stop = threading.Event()

    def keep_writing(n):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                two.cos("PUT", BUCKET, f"paused-{n}", body=b"%d" % number)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)

    threads = [threading.Thread(target=keep_writing, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    body = body_of("half-7")
    upload = two.connect(timeout=60)
    upload.sendall(harness.head_of_put(BUCKET, "half", len(body)) + body[:5_000_000])
    deadline = time.monotonic() + 30
    while not cluster.objects(DATA_POOL, patient.namespace):
        assert time.monotonic() < deadline, "the upload has not begun"
        time.sleep(0.1)
    two.process.send_signal(19)
    try:
        assert one.cos("DELETE", BUCKET, "gone").status == 204
        for n in range(4):
            assert one.cos("PUT", BUCKET, f"late-{n}", body=b"new").status == 200
        deadline = time.monotonic() + PENDING_S + GRACE_S + 60
        while cluster.objects(DATA_POOL, patient.namespace):
            assert time.monotonic() < deadline, "nobody gives the upload up"
            time.sleep(1)
    finally:
        two.process.send_signal(18)
    upload.sendall(body[5_000_000:])
    answer = http.client.HTTPResponse(upload)
    try:
        answer.begin()
        assert answer.status >= 500, answer.status
    except (OSError, http.client.HTTPException):
        pass
    upload.close()
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    for gateway in (one, two):
        for key in ["gone", "half"]:
            assert gateway.cos("HEAD", BUCKET, key).status == 404
        for n in range(4):
            assert gateway.cos("GET", BUCKET, f"late-{n}").body == b"new"
            assert one.cos("GET", BUCKET, f"paused-{n}").body == gateway.cos(
                "GET", BUCKET, f"paused-{n}"
            ).body
    deadline = time.monotonic() + 60
    while objects := cluster.objects(DATA_POOL, patient.namespace):
        assert time.monotonic() < deadline, f"leaked: {objects}"
        time.sleep(1)
    settle(patient)


def test_a_gateway_that_the_cluster_shuts_out_says_so(cluster, gateways):
    """As operators and failover scripts do with a client that may be a zombie."""
    assert gateways.cos("PUT", BUCKET).status == 200
    writers = Writers(gateways)
    try:
        writers.wait_for(10)
        watchers = cluster.watchers(META_POOL, gateways.namespace, "peers")
        assert len(watchers) == 2, watchers
        cluster.ceph("osd", "blocklist", "add", watchers[0])
        deadline = time.monotonic() + 60
        while len(ready := [g for g in gateways.gateways if g.console("/readyz")[0] == 200]) != 1:
            assert time.monotonic() < deadline, "nobody is shut out"
            time.sleep(0.2)
        (other,) = ready
        (victim,) = [g for g in gateways.gateways if g is not other]
        assert "blocklisted" in victim.console("/readyz")[1]
        answer = victim.cos("PUT", BUCKET, "k", body=b"late")
        assert (answer.status, answer.header("Retry-After")) == (503, "1"), answer
        assert victim.cos("GET", BUCKET, "k").status == 503
        writers.wait_for(20)
        # A new start is a new client.
        assert victim.stop() == 0, victim.log()
        victim.start()
        writers.wait_for(20)
    finally:
        writers.end()
    assert {status for status, _ in writers.refused} <= {503}, writers.refused
    writers.check()
    settle(gateways)


@pytest.mark.parametrize(
    "args, words",
    [
        (["--rados-data-pool", "absent"], "there is no pool absent"),
        (["--rados-meta-pool", "costrel-data-ec"], "rows need a replicated pool"),
        (["--ceph-user", "client.nobody"], "key for"),
        (["--ceph-user", "client.weak"], "may not read and write pool"),
        (["--ceph-conf", "/nowhere/ceph.conf"], "cannot read Ceph's configuration"),
    ],
)
def test_a_start_says_what_is_wrong(cluster, args, words):
    if "client.weak" in args:
        caps = ["mon", "allow r", "osd", f"allow r pool={META_POOL}"]
        keyring = cluster.ceph("auth", "get-or-create", "client.weak", *caps)
        with open(f"{cluster.dir}/keyring", "a") as file:
            file.write(keyring)
    gateways = Gateways(cluster.conf)
    named = dict(zip(gateways.engine_args[::2], gateways.engine_args[1::2]))
    named.update(dict(zip(args[::2], args[1::2])))
    server = harness.Server(
        args=[word for pair in named.items() for word in pair],
        env={"COSTREL_MASTER_KEY": "5a" * 32},
    ).spawn()
    try:
        assert server.process.wait(60) == 1
        assert words in server.log(), server.log()
    finally:
        server.discard()
        gateways.discard()
