"""Starts the real server for the black-box suites and judges how it behaved.

A suite that is not written in Python runs below this file:

    python harness.py COMMAND...

starts a server, describes it to the command in COSTREL_TEST_* variables, and
afterwards stops it, reads its log and runs `costrel fsck`.
"""

import contextlib
import ctypes
import hashlib
import hmac
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

BINARY = os.environ.get(
    "COSTREL_BIN", os.path.join(os.path.dirname(__file__), "../target/release/costrel")
)
CLIENTS = os.environ.get("COSTREL_CLIENTS", os.path.dirname(sys.executable))

APPID = "1250000000"
OWNER_UIN = "100000000001"
REGION = "ap-guangzhou"
SECRET_ID = "AKIDcostreltestsuite0123456789abcdef"
SECRET_KEY = "Zm9yVGVzdHNPbmx5Tm90QVJlYWxLZXk0"
ENDPOINT = f"cos.{REGION}.myqcloud.com"

# Time a server may take to start, and to stop when asked.
START_S = 30
STOP_S = 30

ANSI = re.compile(r"\x1b\[[0-9;]*m")
# The level stands right after the time, or in a field of its own.
COMPLAINT = re.compile(r'^\S+\s+(WARN|ERROR)\s|"level":\s*"(WARN|ERROR)"|\blevel=(warn|error)\b|panicked at')


def host_of(bucket):
    return f"{bucket}.{ENDPOINT}"


def free_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One data directory and, while it runs, the process that serves it."""

    # Time in which it has freed what processes left that were killed.
    leftovers_s = 2
    # How much longer than one with a disk of its own it takes for as many requests.
    slowness = 1

    def __init__(self, data_dir=None, identity=True, args=(), env=None):
        self._folder = tempfile.mkdtemp(prefix="costrel-test-")
        self.data_dir = data_dir or os.path.join(self._folder, "data")
        self.log_path = os.path.join(self._folder, "server.log")
        self.port, self.console_port = free_ports(2)
        self.args = list(args)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("COSTREL_")}
        if identity:
            self.env.update(
                COSTREL_ROOT_SECRET_ID=SECRET_ID,
                COSTREL_ROOT_SECRET_KEY=SECRET_KEY,
                COSTREL_APPID=APPID,
                COSTREL_OWNER_UIN=OWNER_UIN,
                COSTREL_REGION=REGION,
            )
        self.env.update(env or {})
        self.process = None
        self._announced = []

    # -- life ----------------------------------------------------------------

    def spawn(self):
        """Starts the process without waiting until it serves."""
        self.process = subprocess.Popen(
            [
                BINARY,
                "serve",
                "--data-dir",
                self.data_dir,
                "--listen",
                f"127.0.0.1:{self.port}",
                "--console-listen",
                f"127.0.0.1:{self.console_port}",
                *self.args,
            ],
            env=self.env,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=open(self.log_path, "ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
        return self

    def start(self):
        self.spawn()
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"server ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError):
                if self.console("/readyz")[0] == 200:
                    return self
            time.sleep(0.02)
        raise AssertionError(f"server not ready after {START_S} s:\n{self.log()}")

    def stop(self):
        """Asks it to end and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"server did not stop in {STOP_S} s:\n{self.log()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def fsck(self):
        return subprocess.run(
            [BINARY, "fsck", "--data-dir", self.data_dir, *self.args],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def operate(self, *command, env=()):
        """Runs one of the operator's commands, which ask the running server."""
        console = f"127.0.0.1:{self.console_port}"
        return subprocess.run(
            [BINARY, *command, "--data-dir", self.data_dir, "--console-listen", console],
            env={**self.env, **dict(env)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def discard(self):
        if self.running():
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def finish(self):
        """Stops, and fails on anything a healthy server would not leave behind."""
        if self.running():
            code = self.stop()
            assert code == 0, f"exit code {code}:\n{self.log()}"
        assert not self.complaints(), "unannounced in the server's log:\n" + "\n".join(
            self.complaints()
        )
        fsck = self.fsck()
        assert fsck.returncode == 0, f"fsck: {fsck.returncode}\n{fsck.stdout}\n{fsck.stderr}"
        self.discard()

    # -- its words -----------------------------------------------------------

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return ANSI.sub("", file.read())

    def announce(self, pattern):
        """Says that complaints which match are what the suite provokes."""
        self._announced.append(re.compile(pattern))

    def complaints(self):
        return [
            line
            for line in self.log().splitlines()
            if COMPLAINT.search(line) and not any(a.search(line) for a in self._announced)
        ]

    def console(self, path):
        """Asks the second listener; status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.console_port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """Sum over the samples of a metric that have these labels."""
        status, text = self.console("/metrics")
        assert status == 200, text
        found = re.findall(rf"^{re.escape(name)}(\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        values = [value for given, value in found if all(label in given for label in wanted)]
        return sum(map(float, values)) if values else None

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024

    # -- plain requests ------------------------------------------------------

    def cos(self, method, bucket, key="", query=None, headers=None, body=None, **signing):
        """One request signed the COS way; see `Answer`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            return cos_request(connection, method, bucket, key, query, headers, body, **signing)
        finally:
            connection.close()

    def connect(self, timeout=30):
        """A bare connection to the server."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)


def new_server(env=None, args=()):
    """What a suite is to run against: one server on its own disk, or, beside a Ceph
    cluster, two gateways on that cluster. With more environment variables and flags."""
    if "COSTREL_TEST_CEPH_CONF" in os.environ:
        from rados.gateways import Gateways

        return Gateways(env=env, args=args)
    return Server(env=env, args=args)


class Answer:
    """Status, headers as spelt on the wire, and body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read()

    def header(self, name):
        """The value of a header, spelt exactly so."""
        return next((value for n, value in self.headers if n == name), None)

    def code(self):
        """The error code in the body."""
        match = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return match and match[1].decode()

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:600]!r}>"


def quote_path(key):
    return urllib.parse.quote(key, safe="/-_.~")


def cos_encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def cos_authorization(
    method, path, params, headers, secret_id=SECRET_ID, secret_key=SECRET_KEY, window=None
):
    """The COS signature of a request; `path` is decoded, `headers` are signed."""
    now = int(time.time())
    start, end = window or (now - 60, now + 3600)
    key_time = f"{start};{end}"

    def canonical(pairs):
        encoded = sorted((cos_encode(k).lower(), cos_encode(str(v))) for k, v in pairs.items())
        return "&".join(f"{k}={v}" for k, v in encoded), ";".join(k for k, _ in encoded)

    param_text, param_list = canonical(params)
    header_text, header_list = canonical(headers)
    sign_key = hmac.new(secret_key.encode(), key_time.encode(), "sha1").hexdigest()
    http_string = f"{method.lower()}\n{path}\n{param_text}\n{header_text}\n"
    digest = hashlib.sha1(http_string.encode("utf-8", "surrogateescape")).hexdigest()
    signature = hmac.new(
        sign_key.encode(), f"sha1\n{key_time}\n{digest}\n".encode(), "sha1"
    ).hexdigest()
    return (
        f"q-sign-algorithm=sha1&q-ak={secret_id}&q-sign-time={key_time}&q-key-time={key_time}"
        f"&q-header-list={header_list}&q-url-param-list={param_list}&q-signature={signature}"
    )


def cos_request(
    connection, method, bucket, key="", query=None, headers=None, body=None, sign=True, **signing
):
    """Sends one request to a bucket's COS host over an open connection."""
    query = query or {}
    host = host_of(bucket) if bucket else ENDPOINT
    headers = {"Host": host, **(headers or {})}
    if sign:
        signed = {"host": host}
        signed.update({k: v for k, v in headers.items() if k.lower().startswith("x-cos-")})
        headers["Authorization"] = cos_authorization(
            method, "/" + key, query, signed, **signing
        )
    target = "/" + quote_path(key)
    if query:
        target += "?" + "&".join(f"{cos_encode(k)}={cos_encode(str(v))}" for k, v in query.items())
    connection.request(method, target, body=body, headers=headers)
    return Answer(connection.getresponse())


def head_of_put(bucket, key, length):
    """Request line and headers of a signed upload, for a socket."""
    host = host_of(bucket)
    authorization = cos_authorization("PUT", "/" + key, {}, {"host": host})
    return (
        f"PUT /{quote_path(key)} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: {authorization}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def resolve_here():
    """Makes the hosts that COS has resolve to this machine, inside this process."""
    real = socket.getaddrinfo
    ours = re.compile(r"(^|\.)(myqcloud\.com|tencentcos\.cn|costrel\.test)$")

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and ours.search(name):
            host = "127.0.0.1"
        return real(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def in_threads(count, work):
    """Runs `work(n)` on `count` threads; raises the first failure."""
    failures = []

    def run(n):
        try:
            work(n)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def main(command):
    server = new_server().start()
    described = {
        "COSTREL_TEST_PORT": str(server.port),
        "COSTREL_TEST_SECRET_ID": SECRET_ID,
        "COSTREL_TEST_SECRET_KEY": SECRET_KEY,
        "COSTREL_TEST_APPID": APPID,
        "COSTREL_TEST_OWNER_UIN": OWNER_UIN,
        "COSTREL_TEST_REGION": REGION,
    }
    code = subprocess.run(command, env={**os.environ, **described}).returncode
    server.finish()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
