"""What the crash suites have in common: talking to a server that dies, and its way back."""

import contextlib
import http.client
import time

from harness import cos_request

# What a client sees of a server that dies.
GONE = (OSError, http.client.HTTPException)


def expect(answer, *statuses):
    assert answer.status in statuses, answer
    return answer


@contextlib.contextmanager
def client(server, bucket):
    """Sends requests of COS over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def send(method, key="", query=None, headers=None, body=None):
        return cos_request(connection, method, bucket, key, query, headers, body)

    try:
        yield send
    finally:
        connection.close()


def start_again(server, rng):
    """After a kill. Dying while it recovers must not hurt either."""
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        server.spawn()
        time.sleep(rng.random() * 0.3)
        server.kill()
    server.start()


def stop_and_check(server, where):
    """Stops it and reads everything that it has stored."""
    assert server.stop() == 0
    assert not server.complaints(), server.complaints()
    fsck = server.fsck()
    # Among others, that the counters say what the rows do.
    assert fsck.returncode == 0, f"{where}\n{fsck.stdout}\n{fsck.stderr}"
    assert " 0 rows not counted yet\n" in fsck.stdout, f"{where}\n{fsck.stdout}"
