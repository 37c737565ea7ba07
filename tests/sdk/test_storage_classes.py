"""Storage classes through both vendors' SDKs, on a server that keeps some of them elsewhere."""

import os
import random
import time

import pytest
from botocore.exceptions import ClientError

import harness
from conftest import bucket_name
from cosclient import make_client
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cos_python import refused as cos_refused


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    cold = tmp_path_factory.mktemp("cold")
    args = ["--places", f"cold={cold}", "--tiers", "STANDARD_IA=cold,ARCHIVE=cold:zstd-9"]
    server = harness.Server(args=args).start()
    server.cold = cold
    yield server
    server.finish()


def stored(server):
    """Bytes of the bodies in the place."""
    files = [os.path.join(at, name) for at, _, names in os.walk(server.cold / "blobs") for name in names]
    return sum(os.path.getsize(file) for file in files)


def text(size):
    return (b"2026-01-02T03:04:05Z GET /some/thing 200 1234\n" * (size // 40))[:size]


@pytest.mark.parametrize("name, data", [("text", text(3_000_000)), ("noise", random.Random(1).randbytes(3_000_000))])
def test_every_class_gives_the_same_bytes(server, aws, cos, bucket, name, data):
    etag = aws.put_object(Bucket=bucket, Key="plain", Body=data)["ETag"]
    for number, storage_class in enumerate(["STANDARD_IA", "GLACIER_IR", "ONEZONE_IA", "INTELLIGENT_TIERING"]):
        key = f"{name}/{storage_class}"
        before = stored(server)
        if number % 2:
            put = cos.put_object(Bucket=bucket, Key=key, Body=data, StorageClass=storage_class)
        else:
            put = aws.put_object(Bucket=bucket, Key=key, Body=data, StorageClass=storage_class)
        assert put["ETag"] == etag
        assert aws.head_object(Bucket=bucket, Key=key)["StorageClass"] == storage_class
        assert aws.get_object(Bucket=bucket, Key=key)["Body"].read() == data
        ranged = cos.get_object(Bucket=bucket, Key=key, Range="bytes=131070-1500000")
        assert ranged["Body"].get_raw_stream().read() == data[131070:1500001]
        grown = stored(server) - before
        if storage_class == "INTELLIGENT_TIERING":
            assert grown == 0
        elif storage_class == "GLACIER_IR" and name == "text":
            assert 0 < grown < len(data) / 10
        else:
            assert grown >= len(data)


def test_a_change_of_class_moves_the_bytes(server, aws, cos, bucket):
    data = text(1_000_000)
    aws.put_object(Bucket=bucket, Key="k", Body=data, Metadata={"a": "1"})
    before = stored(server)
    source = {"Bucket": bucket, "Key": "k"}
    aws.copy_object(Bucket=bucket, Key="k", CopySource=source, StorageClass="STANDARD_IA")
    assert stored(server) - before >= len(data)
    cos.change_object_storage_class(Bucket=bucket, Key="k", StorageClass="STANDARD")
    assert "StorageClass" not in aws.head_object(Bucket=bucket, Key="k")
    assert aws.get_object(Bucket=bucket, Key="k")["Body"].read() == data


def test_uploads_in_parts(server, aws, bucket):
    upload = aws.create_multipart_upload(Bucket=bucket, Key="m", StorageClass="GLACIER_IR")["UploadId"]
    at = dict(Bucket=bucket, Key="m", UploadId=upload)
    bodies = [text(5 << 20), text(1000)]
    before = stored(server)
    parts = [
        {"PartNumber": n, "ETag": aws.upload_part(PartNumber=n, Body=body, **at)["ETag"]}
        for n, body in enumerate(bodies, 1)
    ]
    aws.complete_multipart_upload(MultipartUpload={"Parts": parts}, **at)
    assert 0 < stored(server) - before < 1 << 20
    assert aws.get_object(Bucket=bucket, Key="m")["Body"].read() == b"".join(bodies)
    assert aws.get_object(Bucket=bucket, Key="m", PartNumber=2)["Body"].read() == bodies[1]


def test_archived_objects_are_restored(server, aws, cos, bucket):
    data = text(300_000)
    for number, storage_class in enumerate(["ARCHIVE", "DEEP_ARCHIVE", "GLACIER"]):
        # Each is put by one SDK and restored by the other.
        (cos if number % 2 else aws).put_object(Bucket=bucket, Key="k", Body=data, StorageClass=storage_class)
        assert aws_refused(lambda: aws.get_object(Bucket=bucket, Key="k")) == (403, "InvalidObjectState")
        error = cos_refused(cos.get_object, Bucket=bucket, Key="k")
        assert (error.get_status_code(), error.get_error_code()) == (403, "InvalidObjectState")
        copy = dict(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "k"})
        assert aws_refused(lambda: aws.copy_object(**copy)) == (403, "InvalidObjectState")
        if number % 2:
            order = {"Days": 1, "GlacierJobParameters": {"Tier": "Bulk"}}
            assert aws.restore_object(Bucket=bucket, Key="k", RestoreRequest=order)["ResponseMetadata"]["HTTPStatusCode"] == 202
        else:
            order = {"Days": 1, "CASJobParameters": {"Tier": "Standard"}}
            cos.restore_object(Bucket=bucket, Key="k", RestoreRequest=order)
        assert 'ongoing-request="false", expiry-date="' in aws.head_object(Bucket=bucket, Key="k")["Restore"]
        assert 'ongoing-request="false", expiry-date="' in cos.head_object(Bucket=bucket, Key="k")["x-cos-restore"]
        assert aws.get_object(Bucket=bucket, Key="k")["Body"].read() == data
        assert cos.get_object(Bucket=bucket, Key="k")["Body"].get_raw_stream().read() == data
        aws.copy_object(**copy)
        assert aws.get_object(Bucket=bucket, Key="copied")["Body"].read() == data
        listed = aws.list_objects_v2(Bucket=bucket, Prefix="k", OptionalObjectAttributes=["RestoreStatus"])["Contents"][0]
        assert listed["RestoreStatus"]["IsRestoreInProgress"] is False
        assert cos.list_objects(Bucket=bucket, Prefix="k")["Contents"][0]["RestoreStatus"] == "DONE"
        again = {"Days": 2, "GlacierJobParameters": {"Tier": "Bulk"}}
        assert aws.restore_object(Bucket=bucket, Key="k", RestoreRequest=again)["ResponseMetadata"]["HTTPStatusCode"] == 200
    aws.put_object(Bucket=bucket, Key="plain", Body=b"x")
    order = {"Days": 1}
    restore = lambda: aws.restore_object(Bucket=bucket, Key="plain", RestoreRequest=order)
    assert aws_refused(restore) == (403, "InvalidObjectState")


def test_versions_are_restored_each_for_itself(aws, bucket):
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = [
        aws.put_object(Bucket=bucket, Key="k", Body=body, StorageClass="GLACIER")["VersionId"]
        for body in (b"first", b"second")
    ]
    aws.restore_object(Bucket=bucket, Key="k", VersionId=first, RestoreRequest={"Days": 1})
    assert aws.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"first"
    assert aws_refused(lambda: aws.get_object(Bucket=bucket, Key="k")) == (403, "InvalidObjectState")
    listed = aws.list_object_versions(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Versions"]
    assert [("RestoreStatus" in each) for each in listed] == [False, True]


def test_a_restore_takes_its_time_and_expires():
    with_delays = ["--restore-standard", "1s", "--restore-bulk", "1h"]
    server = harness.Server(args=with_delays, env={"COSTREL_DAY_SECONDS": "3"}).start()
    aws, bucket = s3(server), bucket_name()
    aws.create_bucket(Bucket=bucket)
    aws.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="GLACIER")
    restore = lambda tier: aws.restore_object(
        Bucket=bucket, Key="k", RestoreRequest={"Days": 1, "GlacierJobParameters": {"Tier": tier}}
    )
    restore("Bulk")
    assert aws.head_object(Bucket=bucket, Key="k")["Restore"] == 'ongoing-request="true"'
    assert aws_refused(lambda: restore("Bulk")) == (409, "RestoreAlreadyInProgress")
    restore("Standard")

    def readable():
        try:
            return aws.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidObjectState"
            return False

    for wanted in (True, False):
        deadline = time.monotonic() + 15
        while readable() != wanted:
            assert time.monotonic() < deadline, f"it is never {wanted}"
            time.sleep(0.05)
    assert "Restore" not in aws.head_object(Bucket=bucket, Key="k")
    server.finish()


def test_intelligent_tiering_goes_down_unread_and_up_with_a_read(tmp_path):
    cold = tmp_path / "cold"
    cold.mkdir()
    args = ["--places", f"cold={cold}", "--tiers", "STANDARD_IA=cold"]
    server = harness.Server(args=args, env={"COSTREL_DAY_SECONDS": "1"}).start()
    server.cold = cold
    aws, cos, bucket = s3(server), make_client(server), bucket_name()
    cos.create_bucket(bucket)
    assert cos.get_bucket_intelligenttiering(Bucket=bucket) == {"IntelligentTieringConfiguration": None}
    of_30_days = {"Status": "Enabled", "Transition": {"Days": "30", "RequestFrequent": "1"}}
    cos.put_bucket_intelligenttiering(Bucket=bucket, IntelligentTieringConfiguration=of_30_days)
    assert cos.get_bucket_intelligenttiering(Bucket=bucket) == of_30_days
    for days in ("7", "soon"):
        wrong = {"Status": "Enabled", "Transition": {"Days": days, "RequestFrequent": "1"}}
        put = lambda **kw: cos.put_bucket_intelligenttiering(**kw)
        assert cos_refused(put, Bucket=bucket, IntelligentTieringConfiguration=wrong).get_status_code() == 400
    assert cos.get_bucket_intelligenttiering(Bucket=bucket) == of_30_days

    data = text(300_000)
    cos.put_object(Bucket=bucket, Key="seldom", Body=data, StorageClass="INTELLIGENT_TIERING")
    aws.put_object(Bucket=bucket, Key="often", Body=data, StorageClass="INTELLIGENT_TIERING")
    aws.put_object(Bucket=bucket, Key="small", Body=b"x", StorageClass="INTELLIGENT_TIERING")
    aws.put_object(Bucket=bucket, Key="plain", Body=data)

    def tiers():
        listed = cos.list_objects(Bucket=bucket)["Contents"]
        shown = {each["Key"]: each.get("StorageTier") for each in listed}
        for key, tier in shown.items():
            assert cos.head_object(Bucket=bucket, Key=key).get("x-cos-storage-tier") in (tier, "FREQUENT", "INFREQUENT")
        return shown

    fresh = {"seldom": "FREQUENT", "often": "FREQUENT", "small": "FREQUENT", "plain": None}
    assert tiers() == fresh
    assert stored(server) == 0
    deadline = time.monotonic() + 60
    while tiers() != {**fresh, "seldom": "INFREQUENT"}:
        assert time.monotonic() < deadline, tiers()
        assert aws.get_object(Bucket=bucket, Key="often")["Body"].read() == data
        time.sleep(0.3)
    assert len(data) <= stored(server) < 2 * len(data)
    assert aws.head_object(Bucket=bucket, Key="seldom")["StorageClass"] == "INTELLIGENT_TIERING"
    server.stop()
    server.start()
    assert cos.head_object(Bucket=bucket, Key="seldom")["x-cos-storage-tier"] == "INFREQUENT"
    assert aws.get_object(Bucket=bucket, Key="seldom", Range="bytes=5-9")["Body"].read() == data[5:10]
    deadline = time.monotonic() + 20
    while cos.head_object(Bucket=bucket, Key="seldom")["x-cos-storage-tier"] != "FREQUENT" or stored(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert aws.get_object(Bucket=bucket, Key="seldom")["Body"].read() == data
    server.finish()


def test_intelligent_tiering_archives_what_nobody_reads_until_it_is_restored(tmp_path):
    cold = tmp_path / "cold"
    cold.mkdir()
    args = ["--places", f"cold={cold}", "--tiers", "ARCHIVE=cold", "--restore-standard", "3s"]
    server = harness.Server(args=args, env={"COSTREL_DAY_SECONDS": "1"}).start()
    server.cold = cold
    aws, cos, bucket = s3(server), make_client(server), bucket_name()
    cos.create_bucket(bucket)
    at = dict(Bucket=bucket, Id="old")
    missing = lambda: aws.get_bucket_intelligent_tiering_configuration(**at)
    assert aws_refused(missing) == (404, "NoSuchConfiguration")
    tag = {"Key": "cold", "Value": "yes"}
    old = {
        "Id": "old",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "logs/", "Tags": [tag]}},
        "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}, {"Days": 700, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
    }
    aws.put_bucket_intelligent_tiering_configuration(IntelligentTieringConfiguration=old, **at)
    other = {"Id": "other", "Status": "Enabled", "Tiering": {"AccessTier": "ARCHIVE_ACCESS", "Days": "91"}}
    cos.put_bucket_intelligenttiering_v2(Bucket=bucket, Id="other", IntelligentTieringConfiguration=other)
    for days, status in ((89, "Enabled"), (731, "Enabled"), (90, "Suspended")):
        wrong = {**old, "Status": status, "Tierings": [{"Days": days, "AccessTier": "ARCHIVE_ACCESS"}]}
        put = lambda: aws.put_bucket_intelligent_tiering_configuration(IntelligentTieringConfiguration=wrong, **at)
        assert aws_refused(put)[0] == 400
    assert aws.get_bucket_intelligent_tiering_configuration(**at)["IntelligentTieringConfiguration"] == old
    listed = aws.list_bucket_intelligent_tiering_configurations(Bucket=bucket)
    assert [each["Id"] for each in listed["IntelligentTieringConfigurationList"]] == ["old", "other"]
    assert cos.get_bucket_intelligenttiering_v2(Bucket=bucket, Id="other")["Id"] == "other"
    aws.delete_bucket_intelligent_tiering_configuration(Bucket=bucket, Id="other")
    assert aws_refused(lambda: aws.delete_bucket_intelligent_tiering_configuration(Bucket=bucket, Id="other"))[0] == 404

    data, tagged = text(300_000), {"Tagging": "cold=yes", "StorageClass": "INTELLIGENT_TIERING"}
    aws.put_object(Bucket=bucket, Key="logs/old", Body=data, **tagged)
    aws.put_object(Bucket=bucket, Key="logs/untagged", Body=data, StorageClass="INTELLIGENT_TIERING")
    aws.put_object(Bucket=bucket, Key="elsewhere", Body=data, **tagged)
    head = lambda key: aws.head_object(Bucket=bucket, Key=key)
    deadline = time.monotonic() + 150
    while "ArchiveStatus" not in head("logs/old"):
        assert time.monotonic() < deadline, head("logs/old")
        time.sleep(0.5)
    assert head("logs/old")["ArchiveStatus"] == "ARCHIVE_ACCESS"
    assert cos.head_object(Bucket=bucket, Key="logs/old")["x-cos-storage-tier"] == "ARCHIVE_ACCESS"
    assert len(data) <= stored(server) < 2 * len(data)
    for key in ("logs/untagged", "elsewhere"):
        assert "ArchiveStatus" not in head(key)
        assert aws.get_object(Bucket=bucket, Key=key)["Body"].read() == data
    with pytest.raises(aws.exceptions.InvalidObjectState) as refused:
        aws.get_object(Bucket=bucket, Key="logs/old")
    assert refused.value.response["AccessTier"] == "ARCHIVE_ACCESS"
    assert refused.value.response["StorageClass"] == "INTELLIGENT_TIERING"
    restore = lambda order: aws.restore_object(Bucket=bucket, Key="logs/old", RestoreRequest=order)
    assert aws_refused(lambda: restore({"Days": 1})) == (400, "InvalidArgument")
    assert restore({"GlacierJobParameters": {"Tier": "Standard"}})["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert head("logs/old")["Restore"] == 'ongoing-request="true"'
    again = dict(Bucket=bucket, Key="logs/old", RestoreRequest={"CASJobParameters": {"Tier": "Standard"}})
    error = cos_refused(cos.restore_object, **again)
    assert (error.get_status_code(), error.get_error_code()) == (409, "RestoreAlreadyInProgress")
    deadline = time.monotonic() + 30
    while "Restore" in head("logs/old"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "ArchiveStatus" not in head("logs/old")
    assert aws.get_object(Bucket=bucket, Key="logs/old")["Body"].read() == data
    while stored(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert aws.get_object(Bucket=bucket, Key="logs/old")["Body"].read() == data
    server.finish()


def test_a_place_is_remembered(server, aws, bucket):
    aws.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD_IA")
    server.stop()
    server.start()
    assert aws.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    server.stop()
    server.announce("place 'cold'")
    args, server.args = server.args, []
    assert server.spawn().process.wait(30) != 0
    assert "place 'cold'" in open(server.log_path).read()
    server.args = args
    server.start()
    assert aws.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
