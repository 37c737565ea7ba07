"""The work of `test_crash.py` while rules move every object twice, to another place and
into another codec: what is killed in the middle of a move loses nothing, tears nothing
and leaves nothing behind.
"""

import random
import re
import time

import pytest

import harness
from killing import start_again, stop_and_check
from s3client import s3
from test_crash import BUCKET, CYCLES, SEED, World, carry_on, verify, work

# S3's rules may move what is small: at the next midnight, and two days later.
RULE = {
    "ID": "down",
    "Status": "Enabled",
    "Filter": {"ObjectSizeGreaterThan": 0},
    "Transitions": [
        {"Days": 0, "StorageClass": "INTELLIGENT_TIERING"},
        {"Days": 2, "StorageClass": "GLACIER_IR"},
    ],
}


class MovingWorld(World):
    def __init__(self, cold):
        super().__init__()
        args = ["--places", f"cold={cold}", "--tiers", "INTELLIGENT_TIERING=cold,ARCHIVE=main:zstd-1"]
        self.server = harness.Server(args=args, env={"COSTREL_DAY_SECONDS": "1"})

    def prepare(self):
        super().prepare()
        self.server.start()
        rules = {"Rules": [RULE]}
        s3(self.server, style="path").put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
        assert self.server.stop() == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    print(f"seed {SEED}")
    world = MovingWorld(tmp_path_factory.mktemp("cold"))
    world.prepare()
    yield world
    world.server.start()
    # All that is left to move does, and whatever the dead have left is found and freed.
    classes = lambda: re.findall("<StorageClass>(.*?)<", world.server.cos("GET", BUCKET).body.decode())
    sizes = lambda: re.findall("<Size>(.*?)<", world.server.cos("GET", BUCKET).body.decode())
    deadline = time.monotonic() + 60
    while any(one != "GLACIER_IR" for one, size in zip(classes(), sizes()) if size != "0"):
        assert time.monotonic() < deadline, classes()
        time.sleep(0.5)
    time.sleep(world.server.leftovers_s)
    verify(world)
    assert world.server.stop() == 0
    fsck = world.server.fsck()
    assert " 0 left to the collector\n" in fsck.stdout, fsck.stdout + fsck.stderr
    world.server.finish()


@pytest.mark.parametrize("cycle", range(CYCLES // 2))
def test_cycle(world, cycle):
    print(f"seed {SEED} cycle {cycle}")
    rng = random.Random(world.rng.random())
    server = world.server.start()
    work(world, rng, seconds=rng.choice([0.3, 0.8, 1.5]))
    start_again(server, rng)
    verify(world)
    if rng.random() < 0.5:
        carry_on(world)
    # Most of the moves come from here on, when nobody else writes.
    time.sleep(rng.random() * 2)
    if rng.random() < 0.7:
        server.kill()
        server.start()
        verify(world)
    stop_and_check(server, f"seed {SEED} cycle {cycle}")
