"""Events to brokers, real ones, through what happens to them and to the server."""

import threading
import time
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from authority import Authority
from brokers import PASSWORD, Kafka, Mosquitto, Nats, Tls
from conftest import bucket_name
from hooks import ALL, in_order, queue, started, tell
from s3client import s3

KINDS = [Nats, Mosquitto, Kafka]


@contextmanager
def running(broker):
    try:
        broker.start()
        broker.make()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.kind)
def broker(request, tmp_path_factory):
    with running(request.param(tmp_path_factory.mktemp("broker") / "files")) as broker:
        yield broker


@pytest.fixture(scope="module")
def server(broker, tmp_path_factory):
    targets = [broker.target("right"), broker.target("wrong", password="guess")]
    server = started(tmp_path_factory.mktemp("server"), targets)
    server.announce("no events are told")
    yield server
    server.finish()


def refusal(server, target):
    """What the log says last of an event that a target did not take."""
    lines = [it for it in server.log().splitlines() if f'target="{target}"' in it]
    lines = [it for it in lines if "an event was not taken" in it]
    return lines[-1].lower() if lines else ""


def records(broker, bucket):
    found = [body["Records"][0] for body in broker.read() if "Records" in body]
    return [record for record in found if record["s3"]["bucket"]["name"] == bucket]


def settle(broker, bucket, wanted, seconds=60):
    """Waits for so many different events, in order for each key."""
    deadline = time.monotonic() + seconds
    while True:
        keys = in_order(records(broker, bucket))
        count = sum(map(len, keys.values()))
        if count >= wanted:
            assert count == wanted
            return keys
        assert time.monotonic() < deadline, f"{count} of {wanted} events came"
        time.sleep(0.1)


def write(aws, bucket, rounds, keys=5):
    for number in range(rounds):
        for key in range(keys):
            aws.put_object(Bucket=bucket, Key=f"k {key}", Body=str(number))


def sample(server, name, target):
    page = server.console("/metrics")[1]
    (line,) = [it for it in page.splitlines() if it.startswith(f'{name}{{target="{target}"}}')]
    return int(line.rsplit(" ", 1)[1])


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_configuration_is_tested_first(server, broker, bucket):
    """Messages of the test come, and wrong passwords are heard of at once."""
    before = len(broker.read())
    tell(s3(server), bucket, queue("right", ALL))
    wait_until(lambda: len(broker.read()) > before)
    (test,) = broker.read()[before:]
    assert (test["Event"], test["Bucket"]) == ("s3:TestEvent", bucket)


def test_nothing_is_lost_while_the_broker_is_away(server, broker, bucket):
    aws = s3(server)
    tell(aws, bucket, queue("right", ALL))
    write(aws, bucket, 1)
    writer = threading.Thread(target=write, args=[s3(server), bucket, 2])
    writer.start()
    broker.stop()
    writer.join()
    write(aws, bucket, 1)
    wait_until(lambda: sample(server, "costrel_events_failures_total", "right") > 0)
    assert sample(server, "costrel_events_waiting", "right") > 0
    broker.start()
    keys = settle(broker, bucket, 20)
    assert [len(seen) for seen in keys.values()] == [4] * 5


def test_what_waits_outlives_the_server(server, broker, bucket):
    aws = s3(server)
    tell(aws, bucket, queue("right", ALL))
    write(aws, bucket, 2)
    broker.stop()
    write(aws, bucket, 2)
    server.kill()
    broker.start()
    server.start()
    settle(broker, bucket, 20)


@pytest.mark.parametrize(
    "broker", [kind for kind in KINDS if kind.has_users], ids=lambda it: it.kind, indirect=True
)
def test_a_wrong_password_is_said_and_tried_again(server, broker, bucket):
    aws = s3(server)
    words = {"nats": "authorization", "mqtt": "not authorized"}
    with pytest.raises(ClientError) as caught:
        tell(aws, bucket, queue("wrong", ALL))
    assert caught.value.response["Error"]["Code"] == "InvalidArgument"
    tell(aws, bucket, queue("wrong", ALL), SkipDestinationValidation=True)
    write(aws, bucket, 2)
    wait_until(lambda: sample(server, "costrel_events_failures_total", "wrong") >= 3)
    assert sample(server, "costrel_events_sent_total", "wrong") == 0
    assert sample(server, "costrel_events_waiting", "wrong") == 10
    wait_until(lambda: words[broker.kind] in refusal(server, "wrong"))
    assert PASSWORD not in server.log() and "guess" not in server.log()
    assert words[broker.kind] in server.operate("events").stdout.lower()
    # Nobody else waits for it.
    tell(aws, bucket, queue("right", ALL))
    aws.put_object(Bucket=bucket, Key="other", Body=b"")
    settle(broker, bucket, 1)
    # It is set right: what waited goes where it was to go.
    broker.set_password("wrong", PASSWORD)
    assert server.stop() == 0
    server.start()
    settle(broker, bucket, 11)


# -- TLS -------------------------------------------------------------------------

# Targets of which each has one thing wrong, and what is said of it.
WRONG = {
    "stranger": "unknownissuer",
    "system": "unknownissuer",
    "misnamed": "not valid for name",
    "nameless": "fatal alert",
    "forged": "fatal alert",
}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.kind)
def tls_broker(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("authorities")
    tls = Tls(Authority(folder / "ours"), Authority(folder / "clients"))
    with running(request.param(tmp_path_factory.mktemp("broker") / "files", tls)) as broker:
        yield broker


@pytest.fixture(scope="module")
def tls_server(tls_broker, tmp_path_factory):
    folder, tls = tmp_path_factory.mktemp("server"), tls_broker.tls
    other = Authority(folder / "other")

    def ca(authority):
        return f'ca_file = "{authority.file}"\n'

    def shown(authority):
        cert, key = authority.issue("costrel", "DNS:costrel")
        return f'client_cert = "{cert}"\nclient_key = "{key}"\n'

    right = ca(tls.authority) + shown(tls.clients)
    targets = [
        tls_broker.target("right", more=right),
        tls_broker.target("stranger", more=ca(other) + shown(tls.clients)),
        tls_broker.target("system", more=shown(tls.clients)),
        tls_broker.target("misnamed", more=right, host="localhost"),
        tls_broker.target("nameless", more=ca(tls.authority)),
        tls_broker.target("forged", more=ca(tls.authority) + shown(other)),
    ]
    server = started(folder, targets)
    server.announce("no events are told")
    yield server
    server.finish()


def test_tls(tls_server, tls_broker):
    """Both sides know each other, and nothing is lost when the broker comes and goes."""
    aws, bucket = s3(tls_server), bucket_name()
    aws.create_bucket(Bucket=bucket)
    tell(aws, bucket, queue("right", ALL))
    write(aws, bucket, 2)
    settle(tls_broker, bucket, 10)
    tls_broker.stop()
    write(aws, bucket, 1)
    tls_broker.start()
    settle(tls_broker, bucket, 15)


@pytest.mark.parametrize("target", WRONG)
def test_tls_with_something_wrong(tls_server, tls_broker, target):
    """Nothing is sent, and it is said why."""
    aws, bucket = s3(tls_server), bucket_name()
    aws.create_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        tell(aws, bucket, queue(target, ALL))
    assert caught.value.response["Error"]["Code"] == "InvalidArgument"
    tell(aws, bucket, queue(target, ALL), SkipDestinationValidation=True)
    aws.put_object(Bucket=bucket, Key="k", Body=b"")
    wait_until(lambda: sample(tls_server, "costrel_events_failures_total", target) > 0)
    assert sample(tls_server, "costrel_events_sent_total", target) == 0
    assert sample(tls_server, "costrel_events_waiting", target) == 1
    wait_until(lambda: WRONG[target] in refusal(tls_server, target))
    shown = tls_server.operate("events").stdout.lower()
    assert WRONG[target] in shown, shown
    assert not records(tls_broker, bucket)
