import itertools
import random
import time

import pytest
from botocore import UNSIGNED

import harness
from cosclient import make_client
from s3client import s3

harness.resolve_here()


def pytest_report_header():
    return f"server: {harness.BINARY}"


@pytest.fixture(scope="module")
def server():
    """One server for a file's tests; what it leaves behind is judged at the end."""
    server = harness.new_server().start()
    yield server
    server.finish()


_numbers = itertools.count()


def bucket_name():
    """A name no other test uses."""
    stamp = f"{int(time.time() * 1000) % 10**9:09d}"
    return f"t{stamp}n{next(_numbers)}-{harness.APPID}"


@pytest.fixture
def bucket(server):
    """An empty bucket, which the test may leave full."""
    name = bucket_name()
    answer = server.cos("PUT", name)
    assert answer.status == 200, answer
    return name


@pytest.fixture
def target(server):
    """Another one, for what the server puts there."""
    name = bucket_name()
    assert server.cos("PUT", name).status == 200
    return name


@pytest.fixture
def aws(server):
    """boto3."""
    return s3(server)


@pytest.fixture
def nobody(server):
    """boto3 without a key."""
    return s3(server, signature=UNSIGNED)


@pytest.fixture
def cos(server):
    """COS's SDK."""
    return make_client(server)


@pytest.fixture
def cos_nobody(server):
    """COS's SDK without a key."""
    return make_client(server, secret_id=None, secret_key=None, Anonymous=True)


@pytest.fixture
def seeded():
    """Randomness whose seed is printed when the test fails."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)
