"""Object lock through both vendors' SDKs, and over restarts."""

from datetime import datetime, timedelta, timezone

import pytest
import requests

import harness
from conftest import bucket_name
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import refused as cos_refused

UNTIL = datetime(2140, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def locking(aws):
    name = bucket_name()
    aws.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def test_setting(aws, cos, locking, bucket):
    assert aws.get_bucket_versioning(Bucket=locking)["Status"] == "Enabled"
    conf = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Years": 2}}}
    aws.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=conf)
    assert aws.get_object_lock_configuration(Bucket=locking)["ObjectLockConfiguration"] == conf
    found = cos.get_bucket_object_lock(Bucket=locking)
    assert found["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Years": "2"}
    missing = aws_refused(aws.get_object_lock_configuration, Bucket=bucket)
    assert missing == (404, "ObjectLockConfigurationNotFoundError")
    expect(cos_refused(cos.get_bucket_object_lock, Bucket=bucket), 404, "NoSuchObjectLockConfiguration")
    suspended = {"Bucket": locking, "VersioningConfiguration": {"Status": "Suspended"}}
    assert aws_refused(aws.put_bucket_versioning, **suspended) == (409, "InvalidBucketState")


def test_default_retention(aws, cos, locking):
    conf = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3}}}
    aws.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=conf)
    cos.put_object(Bucket=locking, Key="k", Body=b"data")
    head = aws.head_object(Bucket=locking, Key="k")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    days = head["ObjectLockRetainUntilDate"] - datetime.now(timezone.utc)
    assert timedelta(days=2.9) < days < timedelta(days=3.1)
    shown = cos.head_object(Bucket=locking, Key="k")
    assert shown["x-cos-object-lock-mode"] == "COMPLIANCE"
    version = head["VersionId"]
    expect(cos_refused(cos.delete_object, Bucket=locking, Key="k", VersionId=version), 409, "ObjectLocked")


def test_what_is_locked_stays(aws, locking):
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL}
    where = {"Bucket": locking, "Key": "k"}
    first = aws.put_object(**where, Body=b"1", **lock)["VersionId"]
    second = aws.put_object(**where, Body=b"2", ObjectLockLegalHoldStatus="ON")["VersionId"]
    aws.delete_object(**where)
    for version in (first, second):
        assert aws_refused(aws.delete_object, **where, VersionId=version) == (403, "AccessDenied")
    bypass = {"BypassGovernanceRetention": True}
    assert aws_refused(aws.delete_object, **where, VersionId=second, **bypass) == (403, "AccessDenied")
    objects = [{"Key": "k", "VersionId": version} for version in (first, second)]
    done = aws.delete_objects(Bucket=locking, Delete={"Objects": objects}, **bypass)
    assert [d["VersionId"] for d in done["Deleted"]] == [first]
    assert [(e["VersionId"], e["Code"]) for e in done["Errors"]] == [(second, "AccessDenied")]
    aws.put_object_legal_hold(**where, VersionId=second, LegalHold={"Status": "OFF"})
    aws.delete_object(**where, VersionId=second)


def test_locks_of_uploads_copies_and_forms(aws, locking):
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL}
    where = {"Bucket": locking, "Key": "parts"}
    upload = aws.create_multipart_upload(**where, **lock)["UploadId"]
    etag = aws.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    aws.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    aws.copy_object(Bucket=locking, Key="copy", CopySource=where, ObjectLockLegalHoldStatus="ON")
    fields = {
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": "2140-01-01T00:00:00Z",
    }
    conditions = [{name: value} for name, value in fields.items()]
    post = aws.generate_presigned_post(locking, "form", Fields=fields, Conditions=conditions)
    done = requests.post(post["url"], data=post["fields"], files={"file": b"data"})
    assert done.status_code == 204, done.text
    for key in ("parts", "form"):
        found = aws.get_object_retention(Bucket=locking, Key=key)["Retention"]
        assert found == {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL}
    head = aws.head_object(Bucket=locking, Key="copy")
    assert head["ObjectLockLegalHoldStatus"] == "ON" and "ObjectLockMode" not in head


def test_without_versions(cos, aws, bucket):
    conf = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Days": 1}}}
    cos.put_bucket_object_lock(Bucket=bucket, ObjectLockConfiguration=conf)
    cos.put_object(Bucket=bucket, Key="k", Body=b"data")
    expect(cos_refused(cos.put_object, Bucket=bucket, Key="k", Body=b"new"), 409, "ObjectLocked")
    expect(cos_refused(cos.delete_object, Bucket=bucket, Key="k"), 409, "ObjectLocked")
    assert aws_refused(aws.put_object, Bucket=bucket, Key="k", Body=b"new") == (403, "AccessDenied")
    assert aws.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


def test_locks_outlive_the_process():
    server = harness.new_server().start()
    try:
        client = s3(server)
        name = bucket_name()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        put = client.put_object(
            Bucket=name, Key="k", Body=b"data",
            ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=soon)
        server.stop()
        server.start()
        removal = {"Bucket": name, "Key": "k", "VersionId": put["VersionId"]}
        assert aws_refused(s3(server).delete_object, **removal) == (403, "AccessDenied")
    finally:
        server.finish()
