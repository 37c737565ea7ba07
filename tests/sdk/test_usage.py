"""What buckets hold: the counters beside what two clients know they have stored."""

import re

import boto3
import pytest
from botocore.config import Config
from qcloud_cos import CosConfig, CosS3Client

import harness


@pytest.fixture(scope="module")
def server():
    server = harness.Server().start()
    yield server
    server.finish()


@pytest.fixture(scope="module")
def aws(server):
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        region_name=harness.REGION,
        aws_access_key_id=harness.SECRET_ID,
        aws_secret_access_key=harness.SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def cos(server):
    endpoint = f"{harness.ENDPOINT}:{server.port}"
    config = CosConfig(
        Endpoint=endpoint, Scheme="http", SecretId=harness.SECRET_ID, SecretKey=harness.SECRET_KEY
    )
    return CosS3Client(config, retry=0)


def usage(server, *arguments, **env):
    """`costrel usage`: exit code, lines, complaint."""
    ran = server.operate("usage", *arguments, env=env)
    return ran.returncode, [" ".join(line.split()) for line in ran.stdout.splitlines()], ran.stderr


def shown(server, bucket):
    code, lines, complaint = usage(server, "show", bucket)
    assert (code, complaint) == (0, "")
    # What requests did is for test_monitor.py.
    return [line for line in lines if not line.endswith("today")]


def gauge(server, name, **labels):
    text = server.console("/metrics")[1]
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    found = re.search(rf"^{name}{{{re.escape(wanted)}}} (\S+)$", text, re.M)
    return found and float(found[1])


def test_every_kind_is_shown(server, aws, cos, bucket):
    assert shown(server, bucket) == ["0 bytes in 0 objects and versions"]
    aws.put_object(Bucket=bucket, Key="small", Body=b"x" * 100)
    cos.put_object(bucket, b"y" * 300_000, "large", StorageClass="ARCHIVE")
    upload = cos.create_multipart_upload(bucket, "parts", StorageClass="ARCHIVE")["UploadId"]
    cos.upload_part(bucket, "parts", b"z" * 1_048_576, 1, upload)
    cos.upload_part(bucket, "parts", b"z" * 7, 2, upload)
    assert shown(server, bucket) == [
        "100 bytes in 1 objects, STANDARD",
        "300000 bytes in 1 objects, ARCHIVE",
        "0 bytes in 1 open uploads, ARCHIVE",
        "1048583 bytes in 2 parts outside of objects, ARCHIVE",
        "300100 bytes in 2 objects and versions",
    ]
    parts = aws.list_parts(Bucket=bucket, Key="parts", UploadId=upload)["Parts"]
    named = [{key: part[key] for key in ("PartNumber", "ETag")} for part in parts]
    cos.complete_multipart_upload(bucket, "parts", upload, {"Part": named})
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    cos.put_object(bucket, b"w" * 50, "small")
    aws.delete_object(Bucket=bucket, Key="large")
    assert shown(server, bucket) == [
        "50 bytes in 1 objects, STANDARD",
        "100 bytes in 1 noncurrent versions, STANDARD",
        "1048583 bytes in 1 objects, ARCHIVE",
        "300000 bytes in 1 noncurrent versions, ARCHIVE",
        "0 bytes in 1 delete markers",
        "1348733 bytes in 4 objects and versions",
    ]
    labels = {"bucket": bucket, "class": "STANDARD"}
    assert gauge(server, "costrel_bucket_bytes", **labels, kind="current") == 50
    assert gauge(server, "costrel_bucket_objects", **labels, kind="noncurrent") == 1
    assert gauge(server, "costrel_bucket_delete_markers", bucket=bucket) == 1
    assert gauge(server, "costrel_bucket_uploads", bucket=bucket) == 0
    assert server.metric("costrel_usage_complete") == 1
    assert bucket in usage(server, "show")[1]


def test_the_listing_of_a_client_says_the_same(server, aws, bucket):
    for number in range(40):
        aws.put_object(Bucket=bucket, Key=f"k{number % 25}", Body=b"x" * (1000 + number))
    aws.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k1")
    aws.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k0"}, {"Key": "missing"}]})
    listed = aws.list_objects_v2(Bucket=bucket)["Contents"]
    total = sum(entry["Size"] for entry in listed)
    assert shown(server, bucket)[-1] == f"{total} bytes in {len(listed)} objects and versions"


def test_figures_are_for_the_operator(server, bucket):
    assert server.console(f"/usage?bucket={bucket}")[0] == 403
    code, lines, complaint = usage(server, "show", bucket, COSTREL_MASTER_KEY="00" * 32)
    assert (code, lines) == (1, []) and "operator" in complaint
    assert usage(server, "show", "missing-1250000000")[0] == 1
    assert "no bucket's name" in usage(server, "show", "x?y")[2]


def test_a_recount_finds_no_difference_after_a_kill():
    other = harness.Server().start()
    name = f"killed-{harness.APPID}"
    assert other.cos("PUT", name).status == 200
    for number in range(50):
        assert other.cos("PUT", name, f"k{number % 20}", body=b"x" * number).status == 200
    other.kill()
    assert usage(other, "show", name)[0] == 1
    code, lines, complaint = usage(other, "recount")
    assert (code, complaint) == (0, "")
    assert lines == ["1 buckets", "0 rows not counted yet", "0 differences"]
    other.start()
    # The last twenty: 30 to 49.
    assert shown(other, name)[-1] == f"{sum(range(30, 50))} bytes in 20 objects and versions"
    other.finish()
