"""What one dialect stores, the other reads: the same bucket, object and key."""

import pytest

import harness
from checksums import body, crc64_ecma, etag, multipart_etag
from conftest import bucket_name
from test_cos_python import source
from test_cos_python import read as cos_read

MIB = 1024 * 1024
KEYS = ["plain", "dir/中文 +%?#.txt", "a//b", "😀"]


def aws_read(client, bucket, key):
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_buckets(cos, aws):
    one, two = bucket_name(), bucket_name()
    cos.create_bucket(Bucket=one)
    aws.create_bucket(Bucket=two)
    assert {one, two} <= {b["Name"] for b in aws.list_buckets()["Buckets"]}
    assert {one, two} <= {b["Name"] for b in cos.list_buckets()["Buckets"]["Bucket"]}
    assert aws.get_bucket_location(Bucket=one)["LocationConstraint"] == harness.REGION
    aws.delete_bucket(Bucket=one)
    cos.delete_bucket(Bucket=two)
    assert not cos.bucket_exists(Bucket=one) and not cos.bucket_exists(Bucket=two)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", [0, 700, 3 * MIB])
def test_put_by_cos_read_by_s3(cos, aws, bucket, key, size):
    data = body(size)
    cos.put_object(
        Bucket=bucket, Key=key, Body=data, StorageClass="STANDARD_IA", ContentType="text/plain",
        CacheControl="max-age=1", ContentDisposition="inline",
        Metadata={"x-cos-meta-a": "1", "x-cos-meta-b-c": "two"},
    )
    got = aws.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == data and got["ETag"] == etag(data)
    assert got["Metadata"] == {"a": "1", "b-c": "two"}
    assert got["StorageClass"] == "STANDARD_IA" and got["ContentType"] == "text/plain"
    assert got["CacheControl"] == "max-age=1" and got["ContentDisposition"] == "inline"
    assert [e["Key"] for e in aws.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    names = got["ResponseMetadata"]["HTTPHeaders"]
    assert not [n for n in names if n.startswith("x-cos-")], names


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", [0, 700, 3 * MIB])
def test_put_by_s3_read_by_cos(cos, aws, bucket, key, size):
    data = body(size)
    aws.put_object(
        Bucket=bucket, Key=key, Body=data, StorageClass="STANDARD_IA", ContentType="text/plain",
        Metadata={"a": "1", "b-c": "two"}, ChecksumAlgorithm="SHA256",
    )
    got = cos.get_object(Bucket=bucket, Key=key)
    assert cos_read(got) == data and got["ETag"] == etag(data)
    assert got["x-cos-hash-crc64ecma"] == str(crc64_ecma(data))
    assert got["x-cos-storage-class"] == "STANDARD_IA" and got["Content-Type"] == "text/plain"
    assert (got["x-cos-meta-a"], got["x-cos-meta-b-c"]) == ("1", "two")
    assert not [n for n in got if n.lower().startswith("x-amz-")], dict(got)
    assert [e["Key"] for e in cos.list_objects(Bucket=bucket)["Contents"]] == [key]


def test_multipart(cos, aws, bucket):
    parts = [body(5 * MIB, 1), body(5 * MIB, 2), body(9, 3)]
    whole = b"".join(parts)
    started = cos.create_multipart_upload(Bucket=bucket, Key="by cos", Metadata={"x-cos-meta-a": "1"})
    done = []
    # An upload belongs to the bucket, not to the dialect that began it.
    for number, part in enumerate(parts, 1):
        call = {"Bucket": bucket, "Key": "by cos", "PartNumber": number, "UploadId": started["UploadId"]}
        upload = cos.upload_part if number % 2 else aws.upload_part
        done.append({"PartNumber": number, "ETag": upload(**call, Body=part)["ETag"]})
    assert [u["Key"] for u in aws.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["by cos"]
    finished = aws.complete_multipart_upload(
        Bucket=bucket, Key="by cos", UploadId=started["UploadId"], MultipartUpload={"Parts": done}
    )
    assert finished["ETag"] == multipart_etag(parts)
    got = cos.get_object(Bucket=bucket, Key="by cos")
    assert got["x-cos-hash-crc64ecma"] == str(crc64_ecma(whole)) and got["x-cos-meta-a"] == "1"
    assert cos_read(got) == whole == aws_read(aws, bucket, "by cos")


def test_copy_delete_and_append(cos, aws, bucket):
    cos.append_object(Bucket=bucket, Key="log", Position=0, Data=b"one ")
    cos.append_object(Bucket=bucket, Key="log", Position=4, Data=b"two")
    assert aws_read(aws, bucket, "log") == b"one two"
    aws.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "log"})
    assert cos_read(cos.get_object(Bucket=bucket, Key="copy")) == b"one two"
    cos.copy_object(Bucket=bucket, Key="copy 2", CopySource=source(bucket, "copy"))
    assert aws_read(aws, bucket, "copy 2") == b"one two"
    aws.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "log"}]})
    assert not cos.object_exists(Bucket=bucket, Key="log")


def test_conditions_are_shared(cos, aws, bucket):
    tag = cos.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    aws.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=tag)
    with pytest.raises(aws.exceptions.ClientError):
        aws.put_object(Bucket=bucket, Key="k", Body=b"3", IfNoneMatch="*")
    assert cos_read(cos.get_object(Bucket=bucket, Key="k")) == b"2"


def test_errors_follow_the_dialect_of_the_request(server, aws, bucket):
    answer = server.cos("GET", bucket, "missing")
    assert b"<TraceId>" in answer.body and answer.header("x-cos-request-id")
    assert answer.header("x-amz-request-id") is None
    with pytest.raises(aws.exceptions.NoSuchKey) as caught:
        aws.get_object(Bucket=bucket, Key="missing")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-request-id"] and "x-cos-request-id" not in headers
