"""boto3 clients for the suites that speak S3."""

import boto3
from botocore.auth import S3SigV4Auth
from botocore.config import Config
from botocore.credentials import Credentials

import harness


def s3(server, style="virtual", signature="s3v4", endpoint=None, **config):
    """A client with boto3's own defaults but for retries, which would hide faults."""
    if endpoint is None:
        host = harness.ENDPOINT if style == "virtual" else "127.0.0.1"
        endpoint = f"http://{host}:{server.port}"
    keys = {
        "aws_access_key_id": config.pop("access_key", harness.SECRET_ID),
        "aws_secret_access_key": config.pop("secret_key", harness.SECRET_KEY),
    }
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=harness.REGION,
        config=Config(
            signature_version=signature,
            s3={"addressing_style": style},
            retries={"total_max_attempts": 1},
            **config,
        ),
        **keys,
    )


def sigv4(payload=None):
    """A signer; `payload` is what it puts for the body's hash, if not the real one."""

    class Signer(S3SigV4Auth):
        def payload(self, request):
            return payload or super().payload(request)

    return Signer(Credentials(harness.SECRET_ID, harness.SECRET_KEY), "s3", harness.REGION)
