"""How the server is run: start, identity, stop, health, damage and its discovery."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from checksums import body
from conftest import bucket_name
from harness import BINARY, Server, head_of_put

MIB = 1024 * 1024


@pytest.fixture
def make():
    """Builds servers and discards them afterwards, whatever happened."""
    made = []

    def build(**options):
        made.append(Server(**options))
        return made[-1]

    yield build
    for server in made:
        server.discard()


def fill(server):
    """A bucket with small and large objects; returns its name and their bodies."""
    bucket = bucket_name()
    assert server.cos("PUT", bucket).status == 200
    objects = {f"small/{n}": body(500 + n, n) for n in range(20)}
    objects |= {f"large/{n}": body(2 * MIB + n, n) for n in range(4)}
    for key, data in objects.items():
        assert server.cos("PUT", bucket, key, body=data).status == 200
    return bucket, objects


# -- start and identity ------------------------------------------------------------


def test_first_start_prints_the_key_once(make):
    first = make(identity=False).start()
    text = first.log()
    secret_id = re.search(r"\bAKID[A-Za-z0-9]{32}\b", text)
    assert secret_id, text
    assert str(first.port) in text and "aws" in text.lower() and "cos" in text.lower()
    # The secret key: 32 characters, and the pair really works.
    for candidate in set(re.findall(r"(?<![A-Za-z0-9])[A-Za-z0-9]{32}(?![A-Za-z0-9])", text)):
        answer = first.cos("GET", "", secret_id=secret_id[0], secret_key=candidate)
        if answer.status == 200:
            secret_key = candidate
            break
    else:
        raise AssertionError(f"no key in the output opens the server:\n{text}")
    appid = re.search(r"\b1[0-9]{9}\b", text)
    assert appid, text
    name = f"mine-{appid[0]}"
    keys = {"secret_id": secret_id[0], "secret_key": secret_key}
    assert first.cos("PUT", name, **keys).status == 200
    assert first.stop() == 0

    second = make(identity=False, data_dir=first.data_dir).start()
    assert secret_key not in second.log(), second.log()
    assert second.cos("HEAD", name, **keys).status == 200
    assert second.stop() == 0
    mode = os.stat(first.data_dir).st_mode & 0o077
    assert mode == 0, oct(mode)


def test_nothing_secret_in_the_log(make):
    server = make().start()
    bucket, _ = fill(server)
    server.cos("GET", bucket, "small/1", secret_key="w" * 32)
    server.stop()
    assert harness.SECRET_KEY not in server.log()
    assert "q-signature" not in server.log()


def test_the_environment_fixes_the_identity(make):
    server = make().start()
    text = server.cos("GET", "").body.decode()
    assert f"uin/{harness.OWNER_UIN}:uin/{harness.OWNER_UIN}" in text
    server.stop()
    again = make(data_dir=server.data_dir).start()
    assert again.cos("GET", "").status == 200
    assert again.stop() == 0


def test_restart_keeps_everything(make):
    server = make().start()
    bucket, objects = fill(server)
    upload = server.cos("POST", bucket, "open", query={"uploads": ""}).body
    upload = re.search(rb"<UploadId>(.*)</UploadId>", upload)[1].decode()
    assert server.cos("PUT", bucket, "open", query={"partNumber": 1, "uploadId": upload}, body=body(MIB)).status == 200
    assert server.stop() == 0
    again = make(data_dir=server.data_dir).start()
    for key, data in objects.items():
        assert again.cos("GET", bucket, key).body == data, key
    listed = again.cos("GET", bucket, "open", query={"uploadId": upload})
    assert f"<Size>{MIB}</Size>".encode() in listed.body
    assert again.cos("DELETE", bucket, "open", query={"uploadId": upload}).status == 204
    again.finish()


# -- configuration -------------------------------------------------------------------


def test_unknown_configuration_is_refused(make, tmp_path):
    config = tmp_path / "costrel.toml"
    config.write_text('lissten = "127.0.0.1:0"\n')
    server = make(args=["--config", str(config)]).spawn()
    assert server.process.wait(20) != 0
    assert "lissten" in server.log() and "listen" in server.log().replace("lissten", ""), server.log()


def test_configuration_from_a_file(make, tmp_path):
    config = tmp_path / "costrel.toml"
    config.write_text('region = "ap-elsewhere"\nmemory = "128MiB"\n')
    server = make(args=["--config", str(config)])
    del server.env["COSTREL_REGION"]
    server.start()
    assert re.search(r"Region +ap-elsewhere", server.log()), server.log()
    server.finish()


def test_wrong_arguments_are_refused(make, tmp_path):
    for arguments in (["--config", str(tmp_path / "missing.toml")], ["--no-such-flag"], ["--listen", "nonsense"]):
        server = make(args=arguments).spawn()
        assert server.process.wait(20) != 0, arguments
        assert server.log().strip(), arguments


def test_a_taken_port_is_a_clear_error(make):
    server = make()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        server.spawn()
        assert server.process.wait(20) != 0
    assert str(server.port) in server.log()


def test_a_second_process_is_refused(make):
    first = make().start()
    second = make(data_dir=first.data_dir).spawn()
    assert second.process.wait(20) != 0
    assert re.search(r"(?i)lock|another|in use|already", second.log()), second.log()
    assert first.cos("GET", "").status == 200
    first.finish()


def test_help_and_version():
    for arguments in (["--help"], ["serve", "--help"], ["fsck", "--help"], ["--version"]):
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and done.stdout, arguments


# -- health, metrics, stopping ---------------------------------------------------------


def test_health_and_metrics(make):
    server = make().start()
    bucket, objects = fill(server)
    assert server.console("/healthz")[0] == 200
    assert server.console("/readyz")[0] == 200
    status, text = server.console("/metrics")
    assert status == 200
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \S+ .*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? \S+|", line), line
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert names and all(n.startswith(("costrel_", "process_")) for n in names), names
    assert server.console("/nothing")[0] == 404
    # The service port does not show them.
    assert server.cos("GET", "", "metrics", sign=False).status in (400, 403)
    server.finish()


def test_sigterm_lets_running_requests_finish(make):
    server = make().start()
    bucket, _ = fill(server)
    data = body(4 * MIB, 99)
    connection = server.connect()
    connection.sendall(head_of_put(bucket, "late", len(data)) + data[:MIB])
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    with contextlib.suppress(OSError):
        assert server.console("/readyz")[0] != 200
    connection.sendall(data[MIB:])
    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    connection.close()
    assert server.process.wait(harness.STOP_S) == 0
    again = make(data_dir=server.data_dir).start()
    assert again.cos("GET", bucket, "late").body == data
    again.finish()


def test_sigterm_does_not_wait_for_ever(make):
    server = make(args=["--drain-timeout", "3s"]).start()
    bucket, _ = fill(server)
    stuck = server.connect()
    stuck.sendall(head_of_put(bucket, "never", 1000) + b"x")
    idle = server.connect()
    # Until the server has read the request, there is nothing to wait for.
    while not server.metric("costrel_requests_in_flight"):
        time.sleep(0.05)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert 2 < time.monotonic() - started < 8
    stuck.close()
    idle.close()
    again = make(data_dir=server.data_dir).start()
    assert again.cos("GET", bucket, "never").status == 404
    again.finish()


def test_slow_clients_time_out(make):
    server = make(args=["--idle-timeout", "2s", "--header-timeout", "2s"]).start()
    bucket, objects = fill(server)
    silent = server.connect()
    heading = server.connect()
    heading.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    sending = server.connect()
    sending.sendall(head_of_put(bucket, "slow", 1000) + b"x")
    for connection in (silent, heading, sending):
        connection.settimeout(8)
        answer = connection.recv(65536)
        # Closed without a word, or told that it was too slow.
        assert not answer or answer.split()[1] in (b"400", b"408"), answer
        connection.close()
    assert server.cos("GET", bucket, "slow").status == 404
    assert server.cos("GET", bucket, "small/1").body == objects["small/1"]
    server.finish()


# -- damage --------------------------------------------------------------------------


def blob_files(server):
    """The files that hold large bodies, largest first."""
    found = []
    for folder, _, names in os.walk(server.data_dir):
        for name in names:
            path = os.path.join(folder, name)
            if 2 * MIB <= os.path.getsize(path) < 3 * MIB:
                found.append(path)
    return sorted(found)


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x40]))


def statuses(server, bucket, objects):
    """What each object answers; a body that comes must be right to the last byte."""
    found = {}
    for key, data in objects.items():
        try:
            answer = server.cos("GET", bucket, key)
        except Exception as broken:
            # Broken off in the middle of the body: not wrong bytes.
            found[key] = type(broken).__name__
            continue
        found[key] = answer.status
        if answer.status == 200:
            assert answer.body == data, key
        else:
            assert answer.status == 500 and answer.code() == "InternalError", answer
    return found


@pytest.mark.parametrize("damage", ["missing", "flipped data", "flipped end", "short"])
def test_damage_is_found_and_kept_apart(make, damage):
    server = make().start()
    bucket, objects = fill(server)
    assert server.stop() == 0
    clean = server.fsck()
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert re.search(r"\d", clean.stdout), clean.stdout

    files = blob_files(server)
    assert len(files) == 4, files
    victim = files[0]
    if damage == "missing":
        os.unlink(victim)
    elif damage == "flipped data":
        flip(victim, 2 * MIB - 5)
    elif damage == "flipped end":
        flip(victim, os.path.getsize(victim) - 1)
    else:
        os.truncate(victim, os.path.getsize(victim) - 1000)
    found = server.fsck()
    assert found.returncode != 0, found.stdout + found.stderr

    again = make(data_dir=server.data_dir).start()
    answers = statuses(again, bucket, objects)
    broken = [key for key, status in answers.items() if status != 200]
    assert len(broken) == 1 and broken[0].startswith("large/"), answers
    # The log is written by a thread of its own, a moment later.
    deadline = time.monotonic() + 5
    while not again.complaints():
        assert time.monotonic() < deadline, "a damaged body leaves no line in the log"
        time.sleep(0.05)
    # Others work on, and writing the object again heals it.
    assert again.cos("PUT", bucket, broken[0], body=objects[broken[0]]).status == 200
    assert set(statuses(again, bucket, objects).values()) == {200}
    assert again.stop() == 0


def test_damage_at_the_front_is_told_by_a_status_and_stops_no_check(make):
    """Of a blob, and of a body in the log: the whole data directory is checked all the same."""
    server = make().start()
    bucket, objects = fill(server)
    for name in ("log/1", "log/2"):
        objects[name] = os.urandom(64 * 1024)
        assert server.cos("PUT", bucket, name, body=objects[name]).status == 200
    assert server.stop() == 0
    segment = os.path.join(server.data_dir, "bodies", "00000000")
    with open(segment, "rb") as file:
        at = file.read().index(objects["log/1"][100:4000])
    flip(segment, at)
    flip(blob_files(server)[0], 5)
    found = server.fsck()
    assert found.returncode == 1, found.stdout + found.stderr
    assert re.search(r'finding: object "log/1"', found.stdout), found.stdout + found.stderr
    assert re.search(r'finding: object "large/\d', found.stdout), found.stdout + found.stderr
    assert re.search(r"^ *2 findings$", found.stdout, re.M), found.stdout + found.stderr

    again = make(data_dir=server.data_dir).start()
    answers = statuses(again, bucket, objects)
    broken = {key: status for key, status in answers.items() if status != 200}
    assert set(broken.values()) == {500}, broken
    assert len(broken) == 2 and "log/1" in broken, broken
    assert again.stop() == 0


def test_fsck_finds_bytes_nobody_names(make):
    server = make().start()
    fill(server)
    assert server.stop() == 0
    original = blob_files(server)[0]
    stray = original[:-4] + ("0000" if not original.endswith("0000") else "1111")
    with open(original, "rb") as source, open(stray, "wb") as copy:
        copy.write(source.read())
    found = server.fsck()
    assert found.returncode != 0, found.stdout + found.stderr


def test_fsck_of_nothing(tmp_path):
    done = subprocess.run(
        [BINARY, "fsck", "--data-dir", str(tmp_path / "missing")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0 and (done.stderr or done.stdout).strip()
    assert not (tmp_path / "missing").exists()


def test_a_newer_format_is_refused(make):
    """The file that carries the format version says what it is in words."""
    server = make().start()
    assert server.stop() == 0
    named = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(server.data_dir)
        for name in names
        if re.search(r"(?i)format|version", name) and os.path.getsize(os.path.join(folder, name)) < 4096
    ]
    marker = min(named, key=len, default=None)
    assert marker, os.listdir(server.data_dir)
    with open(marker) as file:
        text = file.read()
    newer = re.sub(r"\d+", lambda number: str(int(number[0]) + 1000), text, count=1)
    assert newer != text
    with open(marker, "w") as file:
        file.write(newer)
    again = make(data_dir=server.data_dir).spawn()
    assert again.process.wait(20) != 0
    assert re.search(r"(?i)format|version|newer", again.log()), again.log()


# -- full disk -------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_survived(make, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", small], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount: {mounted.stderr.decode()}")
    try:
        server = make(data_dir=str(small / "data"), args=["--free-space-reserve", "20MiB"])
        server.announce(r"(?i)full|space")
        server.start()
        bucket = bucket_name()
        assert server.cos("PUT", bucket).status == 200
        stored, refusals = {}, 0
        for n in range(60):
            data = body(4 * MIB, n)
            answer = server.cos("PUT", bucket, f"k{n}", body=data)
            if answer.status == 200:
                stored[f"k{n}"] = data
            else:
                assert answer.status in (500, 503, 507) and answer.code(), answer
                refusals += 1
                if refusals >= 3:
                    break
        assert refusals >= 3 and stored
        for key, data in stored.items():
            assert server.cos("GET", bucket, key).body == data
        # Deleting must be possible when nothing else is, and gives the space back.
        for key in list(stored)[:10]:
            assert server.cos("DELETE", bucket, key).status == 204
            del stored[key]
        deadline = time.monotonic() + 30
        while (answer := server.cos("PUT", bucket, "again", body=body(4 * MIB))).status != 200:
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)
        for key, data in stored.items():
            assert server.cos("GET", bucket, key).body == data
        server.finish()
    finally:
        subprocess.run(["umount", "-l", small], check=False)


# -- memory ----------------------------------------------------------------------------


def test_memory_stays_small(make):
    server = make().start()
    assert server.resident_bytes() < 40 * MIB, server.resident_bytes()
    bucket = bucket_name()
    assert server.cos("PUT", bucket).status == 200
    data = body(64 * MIB)
    peak = 0
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, server.resident_bytes())
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        def put(n):
            assert server.cos("PUT", bucket, f"k{n}", body=data).status == 200

        harness.in_threads(24, put)

        def get(n):
            assert server.cos("GET", bucket, f"k{n}").body == data

        harness.in_threads(8, get)
    finally:
        done.set()
        watcher.join()
    assert peak < 300 * MIB, f"{peak / MIB:.0f} MiB"
    server.finish()


# -- copies ------------------------------------------------------------------------


def test_a_copy_of_a_data_directory_is_served_in_its_place(make):
    first, second = make().start(), make()
    bucket, objects = fill(first)

    def copy(source, target):
        places = [f"embedded:{server.data_dir}" for server in (source, target)]
        done = subprocess.run(
            [BINARY, "copy", "--from", places[0], "--to", places[1]],
            env=first.env, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, said = copy(first, second)
    assert code == 1 and "source" in said, said
    assert first.stop() == 0
    for _ in range(2):
        code, said = copy(first, second)
        assert code == 0 and "may be served" in said, said
    # Its secrets open: the master key came along.
    second.start()
    for key, data in objects.items():
        assert second.cos("GET", bucket, key).body == data
    assert second.stop() == 0
    code, said = copy(first, second)
    assert code == 1 and "has been served" in said, said
    second.finish()
