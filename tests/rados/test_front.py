"""The example configurations of proxies in front of gateways: spellings and odd keys
pass, and a rolling restart under load fails nothing that a client's retry does not
cover."""

import concurrent.futures
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import harness
from rados.gateways import Gateways
from rados.test_gateways import settle

BUCKET = f"front-{harness.APPID}"
EXAMPLES = os.path.join(os.path.dirname(__file__), "../../docs/operate/front")


def installed(program):
    # Where Debian has daemons, which not every user's path names.
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")


class Front:
    """A proxy with an example configuration, but for the addresses."""

    def __init__(self, program, gateways, folder):
        self.port = harness.free_ports(1)[0]
        name = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[program]
        with open(os.path.join(EXAMPLES, name)) as file:
            text = file.read()
        for number, gateway in enumerate(gateways, 1):
            address = f"192.0.2.{number}:9000"
            assert text.count(address) == 1
            text = text.replace(f"{address} check port 9001", f"{address} check port {gateway.console_port}")
            text = text.replace(address, f"127.0.0.1:{gateway.port}")
        listen = re.compile(r"^(\s+(?:bind :|listen ))9000", re.MULTILINE)
        text, count = listen.subn(rf"\g<1>{self.port}", text)
        assert count == 1 and "192.0.2" not in text
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(text)
        command = {
            "haproxy": ["-db", "-f", path],
            "nginx": ["-c", path, "-e", "stderr", "-g", f"daemon off; pid {folder}/pid;"],
        }[program]
        self.said = open(os.path.join(folder, "said"), "w+b")
        self.process = subprocess.Popen(
            [installed(program), *command],
            stdout=self.said, stderr=self.said, preexec_fn=harness._die_with_parent,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.1)

    def log(self):
        self.said.seek(0)
        return self.said.read().decode()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.said.close()


class Client:
    """Keeps its connection, and tries a request again when it got no answer or one that
    says to come again, as often as the SDKs do."""

    def __init__(self, port):
        self.port = port
        self.connection = None
        self.failures = []

    def request(self, *args, **named):
        for pause in [0.2, 0.5, 1, 0]:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                answer = harness.cos_request(self.connection, *args, **named)
                if answer.status < 500:
                    return answer
                failure = answer
            except (OSError, http.client.HTTPException) as error:
                failure = error
            self.connection.close()
            self.connection = None
            self.failures.append((time.time(), repr(failure)[:200]))
            time.sleep(pause)
        raise AssertionError(f"{args} failed: {self.failures}")


def body_of(name):
    length = [50, 9000, 300_000, 5_000_000][int(name.rsplit("-", 1)[1]) % 4]
    return (hashlib.sha256(name.encode()).digest() * (length // 32 + 1))[:length]


@pytest.mark.parametrize("program", ["haproxy", "nginx"])
def test_a_rolling_restart_behind_a_proxy(cluster, tmp_path, program):
    if installed(program) is None:
        pytest.skip(f"{program} is not installed")
    gateways = Gateways(cluster.conf)
    front = None
    try:
        gateways.start()
        front = Front(program, gateways.gateways, str(tmp_path))
        client = Client(front.port)
        assert client.request("PUT", BUCKET).status == 200
        answer = client.request("PUT", BUCKET, "a//b /ü+%2f/./c", body=b"odd")
        assert answer.status == 200, answer
        # Spelt as COS spells it.
        assert answer.header("ETag"), answer
        answer = client.request("GET", BUCKET, "a//b /ü+%2f/./c", headers={"Range": "bytes=1-"})
        assert (answer.status, answer.body) == (206, b"dd")
        for name in ["ETag", "Content-Range", "Content-Length", "Last-Modified", "x-cos-request-id"]:
            assert answer.header(name), answer
        assert client.request("GET", BUCKET, "nothing").code() == "NoSuchKey"

        ending = threading.Event()
        clients = [Client(front.port) for _ in range(6)]
        done = []

        def work(n):
            number = 0
            while not ending.is_set():
                name = f"w{n}-{number}"
                put = clients[n].request("PUT", BUCKET, f"w{n}/{number % 8}", body=body_of(name))
                assert put.status == 200, put
                got = clients[n].request("GET", BUCKET, f"w{n}/{number % 8}")
                assert got.body == body_of(name), name
                number += 1
                done.append(name)

        def restart():
            for gateway in gateways.gateways:
                before = len(done)
                assert gateway.stop() == 0, gateway.log()
                wait_for(before + 10)
                gateway.start()
                # It must have its share again before the other goes.
                time.sleep(2)
                wait_for(before + 30)

        def wait_for(count):
            deadline = time.monotonic() + 60
            while len(done) < count:
                assert time.monotonic() < deadline, "requests do not go on"
                time.sleep(0.05)

        # Here and not on a thread, with which the servers that it started would end.
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
            working = [pool.submit(work, n) for n in range(len(clients))]
            try:
                wait_for(10)
                restart()
            finally:
                ending.set()
        for worker in working:
            worker.result()
        for gateway in gateways.gateways:
            assert gateway.metric("costrel_requests_total") > 5
        # Only what a gateway had not begun when it ended, once for each client and end.
        failures = [failure for client in clients for failure in client.failures]
        assert len(failures) <= 2 * len(clients), failures
        settle(gateways)
    finally:
        if front:
            front.stop()
        gateways.discard()
