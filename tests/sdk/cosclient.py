"""Clients of COS's own Python SDK for the suites."""

from qcloud_cos import CosConfig, CosS3Client

import harness


def make_client(server, secret_id=harness.SECRET_ID, secret_key=harness.SECRET_KEY, **config):
    """A client that resolves real host names to the server's port."""
    config.setdefault("Endpoint", f"{harness.ENDPOINT}:{server.port}")
    config.setdefault("ServiceDomain", f"{harness.ENDPOINT}:{server.port}")
    config.setdefault("Scheme", "http")
    return CosS3Client(
        CosConfig(SecretId=secret_id, SecretKey=secret_key, **config), retry=0
    )
