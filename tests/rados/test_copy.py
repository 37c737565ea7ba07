"""A whole installation is copied from a data directory to a cluster and back, with
interruptions, and is the same afterwards to every byte."""

import os
import random
import re
import signal
import subprocess
import time

import harness
from rados.cluster import DATA_POOL
from rados.gateways import Gateways

PLAIN = f"plain-{harness.APPID}"
VERSIONS = f"versions-{harness.APPID}"
LOCKED = f"locked-{harness.APPID}"
# Between and around what engines keep in rows: 4 KiB on Ceph, 64 KiB on disks.
# What every answer has anew.
PASSING = ["Date", "x-cos-request-id", "x-cos-trace-id"]
LENGTHS = [0, 1, 4095, 4096, 4097, 20_000, 65_536, 65_537, 4 << 20, (9 << 20) + 17]


def bytes_of(name, length):
    return random.Random(name).randbytes(length)


def ok(answer, *statuses):
    assert answer.status in (statuses or (200, 204)), answer
    return answer


def fill(server):
    """Everything of every kind."""
    ok(server.cos("PUT", PLAIN))
    for length in LENGTHS:
        headers = {"x-cos-meta-length": str(length), "Content-Type": "a/b"}
        data = bytes_of(f"k{length}", length)
        ok(server.cos("PUT", PLAIN, f"k/{length}", headers=headers, body=data))
    for n in range(300):
        ok(server.cos("PUT", PLAIN, f"many/{n:03}", body=b"%d" % n))
    position = 0
    for n, length in enumerate([100, 5000, 100_000]):
        query = {"append": "", "position": str(position)}
        ok(server.cos("POST", PLAIN, "grown", query=query, body=bytes_of(f"g{n}", length)))
        position += length
    upload(server, "multi", [5 << 20, 3000], complete=True)
    upload(server, "open", [2 << 20, 3000], complete=False)
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    ok(server.cos("PUT", PLAIN, "k/4096", query={"tagging": ""}, body=tagging))
    rule = (
        "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>tmp/"
        "</Prefix></Filter><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>"
    )
    ok(server.cos("PUT", PLAIN, query={"lifecycle": ""}, body=rule))

    ok(server.cos("PUT", VERSIONS))
    for n, length in enumerate(LENGTHS):
        ok(server.cos("PUT", VERSIONS, f"old/{n}", body=bytes_of(f"o{n}", length)))
    status = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    ok(server.cos("PUT", VERSIONS, query={"versioning": ""}, body=status))
    for n, length in enumerate(LENGTHS[::2]):
        ok(server.cos("PUT", VERSIONS, f"old/{2 * n}", body=bytes_of(f"n{n}", length)))
    ok(server.cos("DELETE", VERSIONS, "old/1"))


def change(server):
    """Some of it is changed, replaced and deleted."""
    for length in LENGTHS[1::2]:
        ok(server.cos("PUT", PLAIN, f"k/{length}", body=bytes_of(f"c{length}", length + 5)))
    ok(server.cos("DELETE", PLAIN, "multi"))
    for n in range(0, 300, 3):
        ok(server.cos("DELETE", PLAIN, f"many/{n:03}"))
    upload(server, "later", [1 << 20, 100], complete=True)
    ok(server.cos("PUT", VERSIONS, "old/3", body=b"newer"))
    ok(server.cos("DELETE", VERSIONS, "old/5"))
    ok(server.cos("DELETE", PLAIN, query={"lifecycle": ""}))
    ok(server.cos("PUT", LOCKED))
    ok(server.cos("PUT", LOCKED, "k", body=b"held"))


def upload(server, key, lengths, complete):
    answer = ok(server.cos("POST", PLAIN, key, query={"uploads": ""}))
    name = re.search(rb"<UploadId>(.*)</UploadId>", answer.body)[1].decode()
    parts = ""
    for number, length in enumerate(lengths, 1):
        query = {"partNumber": str(number), "uploadId": name}
        data = bytes_of(f"{key}{number}", length)
        etag = ok(server.cos("PUT", PLAIN, key, query=query, body=data)).header("ETag")
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    if complete:
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        ok(server.cos("POST", PLAIN, key, query={"uploadId": name}, body=body))


def seen(server):
    """All that a client can see, by what it asks."""
    found = {}

    def ask(bucket, key="", **query):
        answer = server.cos("GET", bucket, key, query=query)
        kept = {n: v for n, v in answer.headers if n not in PASSING}
        body = re.sub(rb"<(RequestId|TraceId)>[^<]*</", b"", answer.body)
        found[bucket, key, *sorted(query.items())] = (answer.status, kept, body)
        return answer.body

    buckets = re.findall(rb"<Name>([^<]*)</Name>", ask(""))
    for bucket in (name.decode() for name in buckets):
        ask(bucket, versioning="")
        ask(bucket, lifecycle="")
        uploads = ask(bucket, uploads="")
        keys = re.findall(rb"<Key>([^<]*)</Key>\s*<UploadId>([^<]*)</", uploads, re.DOTALL)
        for key, name in keys:
            ask(bucket, key.decode(), uploadId=name.decode())
        listed = ask(bucket, versions="")
        assert b"<IsTruncated>true" not in listed
        pairs = re.findall(rb"<Key>([^<]*)</Key>\s*<VersionId>([^<]*)</", listed, re.DOTALL)
        for key, version in set(pairs):
            ask(bucket, key.decode(), versionId=version.decode())
        for key in set(re.findall(rb"<Key>([^<]*)</Key>", listed)):
            ask(bucket, key.decode())
            ask(bucket, key.decode(), tagging="")
    assert len(found) > 400, len(found)
    return found


def same(before, after):
    assert before.keys() == after.keys(), before.keys() ^ after.keys()
    differing = [name for name in before if before[name] != after[name]]
    assert not differing, [(name, before[name], after[name]) for name in differing[:2]]


class Copying:
    """`costrel copy`."""

    def __init__(self, source, target, settings):
        self.command = [harness.BINARY, "copy", "--from", source, "--to", target, *settings]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("COSTREL_")}

    def run(self):
        done = subprocess.run(
            self.command, env=self.env, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    def kill_when(self, begun):
        """Kills it in the middle."""
        process = subprocess.Popen(self.command, env=self.env, stdout=subprocess.DEVNULL)
        while not begun():
            assert process.poll() is None, "it has ended before"
            time.sleep(0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL


def count(said, what):
    return int(re.search(rf"(\d+) {what}\n", said)[1])


def test_an_installation_goes_to_a_cluster_and_back(cluster):
    disk, back = harness.Server(), None
    gateways = None
    try:
        disk.start()
        fill(disk)
        before = seen(disk)
        assert disk.stop() == 0
        with open(os.path.join(disk.data_dir, "master.key")) as file:
            key = {"COSTREL_MASTER_KEY": file.read().strip()}

        gateways = Gateways(cluster.conf, env=key)
        there = Copying(f"embedded:{disk.data_dir}", "rados", gateways.engine_args)
        for pieces in [2, 15]:
            there.kill_when(lambda: len(cluster.objects(DATA_POOL, gateways.namespace)) > pieces)
        code, said = there.run()
        assert code == 0, said
        assert count(said, "rows written") > 5, said
        code, said = there.run()
        assert code == 0, said
        assert count(said, "rows written") == 0, said

        # What changes after a copy is the difference.
        disk.start()
        change(disk)
        before = seen(disk)
        assert disk.stop() == 0
        code, said = there.run()
        assert code == 0, said
        assert 0 < count(said, "rows written") < 100 < count(said, "rows removed"), said

        fsck = gateways.fsck()
        assert fsck.returncode == 0, fsck.stdout + fsck.stderr
        gateways.start()
        for gateway in gateways.gateways:
            same(before, seen(gateway))
        code, said = there.run()
        assert code == 1 and "have the target open" in said, said

        # And back, while the gateways serve.
        back = harness.Server(env=key)
        home = Copying("rados", f"embedded:{back.data_dir}", gateways.engine_args)
        code, said = home.run()
        assert code == 3 and "served" in said, said
        back.spawn()
        assert back.process.wait(30) == 1
        assert "not finished" in back.log(), back.log()
        ok(gateways.cos("PUT", PLAIN, "last", body=b"word"))
        before = seen(gateways)
        assert gateways.stop() == 0
        code, said = home.run()
        assert code == 0, said
        assert count(said, "bodies copied and read back") <= 2, said
        fsck = back.fsck()
        assert fsck.returncode == 0, fsck.stdout + fsck.stderr
        back.start()
        same(before, seen(back))
        back.announce("not finished")
        back.finish()
    finally:
        for server in (disk, back, gateways):
            if server:
                server.discard()
