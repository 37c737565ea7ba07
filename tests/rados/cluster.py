"""A throwaway Ceph cluster on the loopback interface, for tests.

One monitor and a few OSDs (BlueStore on sparse files), cephx on, nothing outside
one folder. The daemons are children of this process and end with it.

    python cluster.py COMMAND...

runs a command beside a cluster, with the path of its ceph.conf in
COSTREL_TEST_CEPH_CONF. Needs the Debian packages ceph-mon, ceph-osd and
ceph-common.
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

META_POOL = "costrel-meta"
DATA_POOL = "costrel-data"
EC_POOL = "costrel-data-ec"

# Time for any one step on a busy machine.
PATIENCE_S = 120

CONF = """\
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{port}/0]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind msgr1 = false
ms bind ipv6 = false
ms bind port min = {port_min}
ms bind port max = {port_max}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
run dir = {dir}/run
crash dir = {dir}/crash
admin socket = {dir}/run/$name.$pid.asok
log file = {dir}/log/$name.log
err to stderr = true
mon allow pool delete = true
osd pool default size = {size}
osd pool default min size = {min_size}
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
# All OSDs share one host.
osd crush chooseleaf type = 0

[client]
keyring = {dir}/keyring
log file = /dev/null
admin socket =

[mon]
mon data = {dir}/mon
keyring = {dir}/mon/keyring
mon data avail warn = 2
mon data avail crit = 1
mon osd reporter subtree level = osd
mon osd min down reporters = 1
# A killed OSD stays a hole until it is started again.
mon osd down out interval = 86400

[osd]
osd data = {dir}/osd/$id
keyring = {dir}/osd/$id/keyring
osd objectstore = bluestore
bluestore block size = {osd_bytes}
osd memory target = 700M
osd memory cache min = 64M
# Sooner than the 20 seconds of a real cluster, later than a busy machine's pauses.
osd heartbeat interval = 2
osd heartbeat grace = 10
osd op num shards = 2
osd op num threads per shard = 2
osd op queue = wpq
osd class update on start = false
"""


def _die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port_range(count):
    """A range of ports nobody listens on, below those that the system hands out."""
    for first in range(20000 + os.getpid() % 50 * 200, 32000, count):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + 20):
                held = stack.enter_context(socket.socket())
                held.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


class Cluster:
    def __init__(self, osds=3, osd_gib=10):
        self.dir = tempfile.mkdtemp(prefix="costrel-ceph-")
        self.conf = os.path.join(self.dir, "ceph.conf")
        self.osds = range(osds)
        self.size = min(3, osds)
        self.osd_bytes = osd_gib << 30
        self.processes = {}

    # -- commands --------------------------------------------------------------

    def _run(self, *command, input=None):
        done = subprocess.run(
            command, input=input, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def ceph(self, *command, input=None):
        return self._run(
            "ceph", "--conf", self.conf, "--connect-timeout", "20", *command, input=input
        )

    # -- life ------------------------------------------------------------------

    def up(self):
        try:
            self._make()
        except BaseException:
            self.down()
            raise
        return self

    def _make(self):
        for name in ["run", "log", "crash", "mon", "osd"]:
            os.mkdir(os.path.join(self.dir, name))
        port = _free_port_range(200)
        fsid = str(uuid.uuid4())
        with open(self.conf, "w") as file:
            file.write(
                CONF.format(
                    fsid=fsid, port=port, port_min=port + 1, port_max=port + 199, dir=self.dir,
                    size=self.size, min_size=max(1, self.size - 1), osd_bytes=self.osd_bytes,
                )
            )
        keyring, bootstrap = f"{self.dir}/keyring", f"{self.dir}/bootstrap"
        monmap = f"{self.dir}/monmap"
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
        tool = ["ceph-authtool", "--create-keyring"]
        self._run(*tool, keyring, "--gen-key", "-n", "client.admin", *everything)
        self._run(*tool, bootstrap, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run("ceph-authtool", bootstrap, "--import-keyring", keyring)
        release = self._run("ceph-mon", "--version").split("(")[-2].split()[-1]
        self._run(
            "monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{port}]",
            "--enable-all-features", "--set-min-mon-release", release, monmap,
        )  # fmt: skip
        self._run(
            "ceph-mon", "--conf", self.conf, "--mkfs", "--id", "a", "--monmap", monmap,
            "--keyring", bootstrap,
        )  # fmt: skip
        self.start_mon()
        for osd in self.osds:
            self._make_osd(osd)
        for osd in self.osds:
            self.start_osd(osd)
        self.wait_up(len(self.osds))
        self.ceph("osd", "pool", "create", META_POOL, "8", "8", "replicated")
        self.ceph("osd", "pool", "create", DATA_POOL, "8", "8", "replicated")
        if len(self.osds) >= 3:
            profile = ["k=2", "m=1", "crush-failure-domain=osd"]
            self.ceph("osd", "erasure-code-profile", "set", "costrel", *profile)
            self.ceph("osd", "pool", "create", EC_POOL, "8", "8", "erasure", "costrel")
            self.ceph("osd", "pool", "set", EC_POOL, "min_size", "2")

    def _make_osd(self, osd):
        folder = f"{self.dir}/osd/{osd}"
        os.mkdir(folder)
        secret = self._run("ceph-authtool", "--gen-print-key").strip()
        name = str(uuid.uuid4())
        self.ceph("osd", "new", name, str(osd), "-i", "-", input=json.dumps({"cephx_secret": secret}))
        self._run(
            "ceph-authtool", "--create-keyring", f"{folder}/keyring", "-n", f"osd.{osd}",
            "--add-key", secret,
        )  # fmt: skip
        self._run(
            "ceph-osd", "--conf", self.conf, "--id", str(osd), "--mkfs", "--osd-uuid", name
        )

    def _start(self, name, *command):
        assert not self.running(name), f"{name} runs already"
        out = open(f"{self.dir}/log/{name}.out", "ab")
        self.processes[name] = subprocess.Popen(
            [*command, "--conf", self.conf, "-f"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=_die_with_parent,
        )  # fmt: skip

    def running(self, name):
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def start_mon(self):
        self._start("mon.a", "ceph-mon", "--id", "a")

    def start_osd(self, osd):
        self._start(f"osd.{osd}", "ceph-osd", "--id", str(osd))

    def up_osds(self):
        return json.loads(self.ceph("osd", "stat", "-f", "json"))["num_up_osds"]

    def wait_up(self, count):
        deadline = time.monotonic() + PATIENCE_S
        while self.up_osds() != count:
            assert time.monotonic() < deadline, self.ceph("osd", "tree")
            time.sleep(0.3)

    def kill(self, name):
        """A crash. Does not return before the process is gone."""
        self.processes[name].kill()
        self.processes[name].wait()

    def pause(self, name):
        """A hang."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def objects(self, pool, namespace):
        """Names of the objects of a pool's namespace."""
        names = self._run("rados", "--conf", self.conf, "-p", pool, "-N", namespace, "ls")
        return names.split()

    def watchers(self, pool, namespace, object):
        """Addresses of the clients that watch an object."""
        command = ["rados", "--conf", self.conf, "-p", pool, "-N", namespace]
        return re.findall(r"watcher=(\S+)", self._run(*command, "listwatchers", object))

    def omap(self, pool, namespace, object):
        """Rows of an object with printable keys."""
        command = ["rados", "--conf", self.conf, "-p", pool, "-N", namespace]
        rows, key = {}, None
        for line in self._run(*command, "listomapvals", object).splitlines():
            if re.fullmatch(r"value \(\d+ bytes\) :", line):
                rows[key] = b""
            elif re.match(r"[0-9a-f]{8}  ", line):
                rows[key] += bytes.fromhex(line[10:58])
            elif line and not re.fullmatch(r"[0-9a-f]{8}", line):
                key = line
        return rows

    def down(self):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    cluster = Cluster().up()
    try:
        return subprocess.call(
            sys.argv[1:], env=dict(os.environ, COSTREL_TEST_CEPH_CONF=cluster.conf)
        )
    finally:
        cluster.down()


if __name__ == "__main__":
    # Ended from outside, it ends its daemons.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
