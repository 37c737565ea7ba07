"""Two gateways on one Ceph cluster, behind one address that sends requests to them
in turn. Looks like `harness.Server` to the suites."""

import os
import subprocess
import uuid

import harness
from rados.alternate import Alternate
from rados.cluster import DATA_POOL, META_POOL

MASTER_KEY = "5a" * 32

# What waits for other gateways waits so long that an end of it is seen.
GRACE_S = 10
PENDING_S = 60


class Gateways(harness.Server):
    leftovers_s = PENDING_S + GRACE_S + 25
    slowness = 4

    def __init__(self, conf=None, data_pool=None, count=2, namespace=None, args=(), env=None):
        self.conf = conf or os.environ["COSTREL_TEST_CEPH_CONF"]
        self.namespace = namespace or f"suite-{uuid.uuid4().hex[:12]}"
        self.engine_args = [
            "--engine", "rados", "--ceph-conf", self.conf, "--ceph-user", "client.admin",
            "--rados-meta-pool", META_POOL,
            "--rados-data-pool", data_pool or os.environ.get("COSTREL_TEST_DATA_POOL", DATA_POOL),
            "--rados-namespace", self.namespace,
        ]  # fmt: skip
        self.env = {"COSTREL_MASTER_KEY": MASTER_KEY, **(env or {})}
        brief = ["--rados-reader-grace", f"{GRACE_S}s", "--rados-pending-age", f"{PENDING_S}s"]
        self.gateways = [
            harness.Server(args=[*self.engine_args, *brief, *args], env=self.env)
            for _ in range(count)
        ]
        self.front = None
        self._announced = []

    def start(self):
        # The first start makes the account.
        for gateway in self.gateways:
            gateway.start()
        if self.front is None:
            self.front = Alternate([gateway.port for gateway in self.gateways])
            self.port = self.front.port
        return self

    def spawn(self):
        for gateway in self.gateways:
            gateway.spawn()
        return self

    def stop(self):
        return max(gateway.stop() for gateway in self.gateways)

    def kill(self):
        for gateway in self.gateways:
            gateway.kill()

    def running(self):
        return any(gateway.running() for gateway in self.gateways)

    def fsck(self):
        return subprocess.run(
            [harness.BINARY, "fsck", *self.engine_args],
            env={**self.gateways[0].env, **self.env},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    def operate(self, *command, env=()):
        return self.gateways[0].operate(*command, env=env)

    def discard(self):
        if self.front:
            self.front.close()
        for gateway in self.gateways:
            gateway.discard()

    def log(self):
        return "".join(gateway.log() for gateway in self.gateways)

    def console(self, path):
        return self.gateways[0].console(path)

    def metric(self, name, **labels):
        values = [gateway.metric(name, **labels) for gateway in self.gateways]
        return sum(value or 0 for value in values) if any(v is not None for v in values) else None

    def resident_bytes(self):
        return max(gateway.resident_bytes() for gateway in self.gateways)
