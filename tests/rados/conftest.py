"""What the tests of several gateways share."""

import pytest

from rados.cluster import Cluster


@pytest.fixture(scope="session")
def cluster():
    """One cluster for all of them: each test leaves it whole."""
    cluster = Cluster().up()
    yield cluster
    cluster.down()
