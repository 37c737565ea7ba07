"""COS's symlinks through the vendor's SDK, and through a client of S3."""

import hashlib


from conftest import bucket_name
from test_boto3 import refused as aws_refused
from test_cos_python import expect, read
from test_cos_python import refused as cos_refused


def test_link_and_target(aws, cos, bucket):
    made = cos.put_symlink(Bucket=bucket, SymlinkName="dir/link", SymlinkTarget="a/target.txt")
    assert made["ETag"].strip('"') == hashlib.md5(b"a/target.txt").hexdigest()
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="dir/link"), 404, "NoSuchKey")
    assert aws_refused(aws.get_object, Bucket=bucket, Key="dir/link") == (404, "NoSuchKey")
    data = b"0123456789" * 20_000
    put = cos.put_object(Bucket=bucket, Key="a/target.txt", Body=data, ContentType="text/plain")
    got = cos.get_object(Bucket=bucket, Key="dir/link")
    assert (read(got), got["ETag"], got["Content-Type"]) == (data, put["ETag"], "text/plain")
    assert got["x-cos-hash-crc64ecma"] == put["x-cos-hash-crc64ecma"]
    part = cos.get_object(Bucket=bucket, Key="dir/link", Range="bytes=100000-100009")
    assert read(part) == b"0123456789"
    assert aws.get_object(Bucket=bucket, Key="dir/link")["Body"].read() == data
    assert aws.head_object(Bucket=bucket, Key="dir/link")["ContentLength"] == len(data)
    assert cos.get_symlink(Bucket=bucket, SymlinkName="dir/link")["x-cos-symlink-target"] == "a/target.txt"
    sizes = {entry["Key"]: entry["Size"] for entry in cos.list_objects(Bucket=bucket)["Contents"]}
    assert sizes == {"a/target.txt": str(len(data)), "dir/link": "12"}
    cos.delete_object(Bucket=bucket, Key="dir/link")
    expect(cos_refused(cos.get_symlink, Bucket=bucket, SymlinkName="dir/link"), 404, "NoSuchKey")
    assert read(cos.get_object(Bucket=bucket, Key="a/target.txt")) == data


def test_refusals(cos, bucket):
    cos.put_object(Bucket=bucket, Key="object", Body=b"data")
    expect(cos_refused(cos.get_symlink, Bucket=bucket, SymlinkName="object"), 400, "NotSymlink")
    cos.put_symlink(Bucket=bucket, SymlinkName="one", SymlinkTarget="object")
    cos.put_symlink(Bucket=bucket, SymlinkName="two", SymlinkTarget="one")
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="two"), 400, "InvalidRequest")
    refusal = cos_refused(cos.put_symlink, Bucket=bucket, SymlinkName="me", SymlinkTarget="me")
    expect(refusal, 400, "InvalidRequest")
    grown = cos_refused(cos.append_object, Bucket=bucket, Key="one", Position=4, Data=b"more")
    expect(grown, 409, "ObjectNotAppendable")


def test_versions(aws, cos):
    bucket = bucket_name()
    cos.create_bucket(Bucket=bucket)
    cos.put_bucket_versioning(Bucket=bucket, Status="Enabled")
    for key in ("old", "new"):
        cos.put_object(Bucket=bucket, Key=key, Body=key.encode())
    first = cos.put_symlink(Bucket=bucket, SymlinkName="link", SymlinkTarget="old")
    cos.put_symlink(Bucket=bucket, SymlinkName="link", SymlinkTarget="new")
    assert read(cos.get_object(Bucket=bucket, Key="link")) == b"new"
    version = first["x-cos-version-id"]
    assert read(cos.get_object(Bucket=bucket, Key="link", VersionId=version)) == b"old"
    itself = cos.get_symlink(Bucket=bucket, SymlinkName="link", VersionId=version)
    assert itself["x-cos-symlink-target"] == "old"
    seen = aws.list_object_versions(Bucket=bucket, Prefix="link")["Versions"]
    assert [entry["IsLatest"] for entry in seen] == [True, False]
    copied = cos.copy_object(
        Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "link", "Region": "ap-guangzhou"}
    )
    assert copied["ETag"].strip('"') == hashlib.md5(b"new").hexdigest()
