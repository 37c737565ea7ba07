"""boto3 against the server, with the integrity checksums it sends by default."""

import base64
import hashlib
import io
import time
import zlib
from datetime import datetime, timedelta, timezone

import botocore.session
import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

import harness
from checksums import body, etag, md5_base64, md5_hex, multipart_etag
from conftest import bucket_name
from s3client import s3, sigv4

MIB = 1024 * 1024


@pytest.fixture(params=["virtual", "path"])
def client(server, request):
    return s3(server, request.param)


@pytest.fixture
def virtual(server):
    return s3(server)


def refused(call, *args, **kwargs):
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def read(client, bucket, key, **kwargs):
    return client.get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


def keys_of(page):
    return [entry["Key"] for entry in page.get("Contents", [])]


def prefixes_of(page):
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


# -- service and buckets ---------------------------------------------------------


def test_bucket_life(client):
    name = bucket_name()
    assert refused(client.head_bucket, Bucket=name)[0] == 404
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": harness.REGION}
    )
    head = client.head_bucket(Bucket=name)
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == harness.REGION
    assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == harness.REGION
    assert name in [b["Name"] for b in client.list_buckets()["Buckets"]]
    assert refused(client.create_bucket, Bucket=name) == (409, "BucketAlreadyOwnedByYou")
    client.put_object(Bucket=name, Key="k", Body=b"")
    assert refused(client.delete_bucket, Bucket=name) == (409, "BucketNotEmpty")
    client.delete_object(Bucket=name, Key="k")
    client.delete_bucket(Bucket=name)
    assert refused(client.delete_bucket, Bucket=name) == (404, "NoSuchBucket")
    assert refused(client.list_objects_v2, Bucket=name) == (404, "NoSuchBucket")


def test_list_buckets_pages(virtual):
    prefix = bucket_name().split("-")[0]
    names = [f"{prefix}p{n}-{harness.APPID}" for n in range(5)]
    for name in names:
        virtual.create_bucket(Bucket=name)
    seen, token = [], {}
    while True:
        page = virtual.list_buckets(Prefix=f"{prefix}p", MaxBuckets=2, **token)
        assert len(page["Buckets"]) <= 2
        seen += [b["Name"] for b in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == names
    assert virtual.list_buckets()["Owner"]["ID"]


# -- objects ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, MIB, 9 * MIB + 1])
def test_put_get_head(client, bucket, size):
    data = body(size)
    put = client.put_object(Bucket=bucket, Key="a/b c", Body=data)
    assert put["ETag"] == etag(data)
    assert base64.b64decode(put["ChecksumCRC32"]) == zlib.crc32(data).to_bytes(4, "big")
    got = client.get_object(Bucket=bucket, Key="a/b c")
    assert got["Body"].read() == data
    assert got["ContentLength"] == size and got["ETag"] == etag(data)
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]  # boto3 asks for it, and checks it
    head = client.head_object(Bucket=bucket, Key="a/b c", ChecksumMode="ENABLED")
    assert head["ContentLength"] == size and head["ETag"] == etag(data)
    assert head["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert head["ContentType"] == "binary/octet-stream"
    assert abs(head["LastModified"] - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert "ChecksumCRC32" not in client.head_object(Bucket=bucket, Key="a/b c")


def test_errors(server, virtual, bucket):
    with pytest.raises(ClientError) as caught:
        virtual.get_object(Bucket=bucket, Key="missing")
    answer = caught.value.response
    assert answer["Error"]["Code"] == "NoSuchKey" and answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"]
    assert refused(virtual.head_object, Bucket=bucket, Key="missing") == (404, "404")
    assert virtual.delete_object(Bucket=bucket, Key="missing")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_metadata_and_headers(client, bucket):
    client.put_object(
        Bucket=bucket, Key="k", Body=b"x",
        Metadata={"author": "someone", "list": "a, b"},
        ContentType="text/plain", ContentLanguage="en", ContentEncoding="identity",
        ContentDisposition="inline", CacheControl="no-cache",
        Expires=datetime(2037, 1, 1, tzinfo=timezone.utc),
        StorageClass="STANDARD_IA",
    )
    head = client.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"author": "someone", "list": "a, b"}
    assert head["ContentType"] == "text/plain" and head["ContentLanguage"] == "en"
    assert head["ContentEncoding"] == "identity"
    assert head["ContentDisposition"] == "inline" and head["CacheControl"] == "no-cache"
    assert head["Expires"] == datetime(2037, 1, 1, tzinfo=timezone.utc)
    assert head["StorageClass"] == "STANDARD_IA"
    assert client.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "STANDARD_IA"


def test_ranges_and_overrides(client, bucket):
    data = body(200_000)
    client.put_object(Bucket=bucket, Key="k", Body=data)
    got = client.get_object(Bucket=bucket, Key="k", Range="bytes=100-65700")
    assert got["Body"].read() == data[100:65701]
    assert got["ContentRange"] == "bytes 100-65700/200000"
    assert read(client, bucket, "k", Range="bytes=-7") == data[-7:]
    assert refused(client.get_object, Bucket=bucket, Key="k", Range="bytes=200000-") == (416, "InvalidRange")
    # What is no range is ignored.
    for text in ("bytes=5-2", "lines=1-2", "bytes=a-b"):
        assert read(client, bucket, "k", Range=text) == data, text
    got = client.get_object(
        Bucket=bucket, Key="k", ResponseContentType="image/png", ResponseCacheControl="private",
        ResponseContentDisposition="attachment; filename=\"a b.txt\"",
    )
    assert got["ContentType"] == "image/png" and got["CacheControl"] == "private"
    assert got["ContentDisposition"] == 'attachment; filename="a b.txt"'


def test_read_conditions(client, bucket):
    tag = client.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    past = datetime(2015, 1, 1, tzinfo=timezone.utc)
    future = datetime.now(timezone.utc) + timedelta(hours=1)
    get = {"Bucket": bucket, "Key": "k"}
    for failing, status in (
        ({"IfMatch": '"nope"'}, 412),
        ({"IfNoneMatch": tag}, 304),
        ({"IfUnmodifiedSince": past}, 412),
        ({"IfModifiedSince": future - timedelta(minutes=59)}, 304),
    ):
        if status == 304 and "IfModifiedSince" in failing:
            # A date in the future is no valid condition; use the object's own.
            failing = {"IfModifiedSince": client.head_object(**get)["LastModified"]}
        assert refused(client.get_object, **get, **failing)[0] == status, failing
        assert refused(client.head_object, **get, **failing)[0] == status, failing
    for passing in ({"IfMatch": tag}, {"IfNoneMatch": '"nope"'}, {"IfModifiedSince": past}):
        assert read(client, bucket, "k", **passing) == b"x"


def test_conditional_writes(client, bucket):
    key = {"Bucket": bucket, "Key": "k"}
    first = client.put_object(**key, Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(client.put_object, **key, Body=b"2", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(client.put_object, **key, Body=b"2", IfMatch='"nope"') == (412, "PreconditionFailed")
    second = client.put_object(**key, Body=b"2", IfMatch=first)["ETag"]
    assert refused(client.put_object, **key, Body=b"3", IfMatch=first) == (412, "PreconditionFailed")
    missing = {"Bucket": bucket, "Key": "missing"}
    assert refused(client.put_object, **missing, Body=b"x", IfMatch=first) == (404, "NoSuchKey")
    assert read(client, bucket, "k") == b"2"
    assert refused(client.delete_object, **key, IfMatch=first) == (412, "PreconditionFailed")
    client.delete_object(**key, IfMatch=second)
    assert refused(client.get_object, **key) == (404, "NoSuchKey")
    # Large bodies take another way to the disk.
    client.put_object(**key, Body=body(MIB), IfNoneMatch="*")
    assert refused(client.put_object, **key, Body=body(MIB, 2), IfNoneMatch="*")[0] == 412
    assert read(client, bucket, "k") == body(MIB)


def test_compare_and_swap_counts_right(server, bucket):
    """Eight clients increment a counter by conditional writes; none is lost."""
    setup = s3(server)
    setup.put_object(Bucket=bucket, Key="counter", Body=b"0")

    def increment(_):
        mine = s3(server)
        for _ in range(10):
            while True:
                got = mine.get_object(Bucket=bucket, Key="counter")
                value = int(got["Body"].read()) + 1
                try:
                    mine.put_object(
                        Bucket=bucket, Key="counter", Body=b"%d" % value, IfMatch=got["ETag"]
                    )
                    break
                except ClientError as error:
                    assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412)

    harness.in_threads(8, increment)
    assert read(setup, bucket, "counter") == b"80"


@pytest.mark.parametrize(
    "key",
    [
        " both ends ", "a//b", "/lead", "//two", "plus+%25 ?#&=;,:@!$'()*[]\"<>\\|^`{}~",
        "./dot/../x", "中文/文件", "😀", "é" * 425, "%2F", "trailing/", "nbsp\u00a0",
    ],
)
def test_odd_keys(client, bucket, key):
    client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(client, bucket, key) == key.encode()
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == [key]
    assert keys_of(client.list_objects(Bucket=bucket)) == [key]
    client.copy_object(Bucket=bucket, Key="copy of", CopySource={"Bucket": bucket, "Key": key})
    assert read(client, bucket, "copy of") == key.encode()
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    if ".." not in key:  # requests would resolve it
        assert requests.get(url).content == key.encode()
    done = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert [d["Key"] for d in done["Deleted"]] == [key]
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == ["copy of"]


def test_key_too_long(client, bucket):
    status, code = refused(client.put_object, Bucket=bucket, Key="x" * 1025, Body=b"")
    assert (status, code) == (400, "KeyTooLongError")


# -- listing ---------------------------------------------------------------------

KEYS = ["a", "a/b", "a/c/d", "a0", "b c", "b+c", "b/", "b/x", "中/文", "中文", "\ufb01", "😀"]


@pytest.fixture
def listed(server, bucket):
    put = s3(server)
    for key in KEYS:
        put.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def test_list_v2(client, listed):
    page = client.list_objects_v2(Bucket=listed)
    assert keys_of(page) == sorted(KEYS, key=str.encode)
    assert (page["KeyCount"], page["IsTruncated"], page["MaxKeys"]) == (len(KEYS), False, 1000)
    entry = page["Contents"][0]
    assert entry["Size"] == 1 and entry["ETag"] == etag(b"a") and entry["StorageClass"] == "STANDARD"
    assert "Owner" not in entry
    assert client.list_objects_v2(Bucket=listed, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    page = client.list_objects_v2(Bucket=listed, StartAfter="a/c")
    assert keys_of(page) == [k for k in sorted(KEYS, key=str.encode) if k.encode() > b"a/c"]
    page = client.list_objects_v2(Bucket=listed, Prefix="a/", Delimiter="/")
    assert (keys_of(page), prefixes_of(page)) == (["a/b"], ["a/c/"])
    assert page["KeyCount"] == 2
    page = client.list_objects_v2(Bucket=listed, Delimiter=" c")
    assert prefixes_of(page) == ["b c"]
    assert client.list_objects_v2(Bucket=listed, MaxKeys=0).get("Contents") is None


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_list_in_pages(client, listed, version, delimiter):
    whole = getattr(client, version)(Bucket=listed, Delimiter=delimiter)
    pages = client.get_paginator(version).paginate(
        Bucket=listed, Delimiter=delimiter, PaginationConfig={"PageSize": 2}
    )
    keys, prefixes = [], []
    for page in pages:
        assert len(keys_of(page)) + len(prefixes_of(page)) <= 2
        keys += keys_of(page)
        prefixes += prefixes_of(page)
    assert (keys, prefixes) == (keys_of(whole), prefixes_of(whole))


def test_list_v2_refuses_a_made_up_token(client, listed):
    assert refused(client.list_objects_v2, Bucket=listed, ContinuationToken="\x01?made up")[0] == 400


def test_list_v1(client, listed):
    page = client.list_objects(Bucket=listed, Marker="a/b", MaxKeys=2)
    assert keys_of(page) == ["a/c/d", "a0"] and page["IsTruncated"]
    page = client.list_objects(Bucket=listed, Delimiter="/", Prefix="b")
    assert (keys_of(page), prefixes_of(page)) == (["b c", "b+c"], ["b/"])
    assert page["Contents"][0]["Owner"]["ID"]


def test_list_reflects_every_acknowledged_write(client, bucket):
    alive = set()
    for n in range(60):
        key = f"k{n % 17:02d}"
        if key in alive:
            client.delete_object(Bucket=bucket, Key=key)
            alive.remove(key)
        else:
            client.put_object(Bucket=bucket, Key=key, Body=b"")
            alive.add(key)
        assert keys_of(client.list_objects_v2(Bucket=bucket)) == sorted(alive)


# -- delete and copy -------------------------------------------------------------


def test_delete_objects(client, bucket):
    for key in ("a", "b", "/a"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    done = client.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "/a"}, {"Key": "never"}]}
    )
    assert [d["Key"] for d in done["Deleted"]] == ["/a", "never"]
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == ["a", "b"]
    done = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}], "Quiet": True})
    assert "Deleted" not in done and "Errors" not in done
    too_many = {"Objects": [{"Key": f"{n}"} for n in range(1001)]}
    assert refused(client.delete_objects, Bucket=bucket, Delete=too_many) == (400, "MalformedXML")


def test_copy(client, bucket):
    data = body(300_000)
    client.put_object(
        Bucket=bucket, Key="s", Body=data, Metadata={"a": "1"}, ContentType="text/css",
        StorageClass="STANDARD_IA",
    )
    copy = {"Bucket": bucket, "CopySource": {"Bucket": bucket, "Key": "s"}}
    done = client.copy_object(**copy, Key="d")["CopyObjectResult"]
    assert done["ETag"] == etag(data)
    head = client.head_object(Bucket=bucket, Key="d")
    assert (head["Metadata"], head["ContentType"]) == ({"a": "1"}, "text/css")
    assert "StorageClass" not in head
    client.copy_object(
        **copy, Key="d", MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/html"
    )
    head = client.head_object(Bucket=bucket, Key="d")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "text/html")
    assert read(client, bucket, "d") == data
    assert refused(client.copy_object, **copy, Key="s") == (400, "InvalidRequest")
    client.copy_object(**copy, Key="s", StorageClass="STANDARD")
    head = client.head_object(Bucket=bucket, Key="s")
    assert "StorageClass" not in head and head["Metadata"] == {"a": "1"}
    wrong = {"CopySourceIfMatch": '"nope"'}
    assert refused(client.copy_object, **copy, Key="x", **wrong) == (412, "PreconditionFailed")
    missing = {"Bucket": bucket, "Key": "missing"}
    assert refused(client.copy_object, Bucket=bucket, Key="x", CopySource=missing) == (404, "NoSuchKey")


# -- multipart -------------------------------------------------------------------


def start(client, bucket, key, **kwargs):
    return client.create_multipart_upload(Bucket=bucket, Key=key, **kwargs)["UploadId"]


def test_transfer_manager(client, bucket, tmp_path):
    data = body(37 * MIB + 11)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)
    client.upload_fileobj(io.BytesIO(data), bucket, "big", Config=config, ExtraArgs={"Metadata": {"a": "1"}})
    parts = [data[at : at + 8 * MIB] for at in range(0, len(data), 8 * MIB)]
    head = client.head_object(Bucket=bucket, Key="big")
    assert head["ETag"] == multipart_etag(parts) and head["Metadata"] == {"a": "1"}
    client.download_file(bucket, "big", str(tmp_path / "big"), Config=config)
    assert (tmp_path / "big").read_bytes() == data
    client.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=config)
    assert client.head_object(Bucket=bucket, Key="copied")["ETag"] == multipart_etag(parts)
    assert read(client, bucket, "copied") == data


def test_multipart_by_hand(client, bucket):
    upload = start(client, bucket, "k", Metadata={"m": "1"}, StorageClass="STANDARD_IA")
    call = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    bodies = [body(5 * MIB, 1), body(5 * MIB, 2), body(3, 3)]
    parts = []
    for number, data in enumerate(bodies, 1):
        done = client.upload_part(**call, PartNumber=number, Body=data)
        assert done["ETag"] == etag(data)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == []
    listed = client.list_parts(**call)
    assert [(p["PartNumber"], p["Size"]) for p in listed["Parts"]] == [(1, 5 * MIB), (2, 5 * MIB), (3, 3)]
    assert listed["StorageClass"] == "STANDARD_IA"
    uploads = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in uploads] == [("k", upload)]
    done = client.complete_multipart_upload(**call, MultipartUpload={"Parts": parts})
    assert done["ETag"] == multipart_etag(bodies)
    for number, data in enumerate(bodies, 1):
        got = client.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert got["Body"].read() == data and got["PartsCount"] == 3
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    head = client.head_object(Bucket=bucket, Key="k", PartNumber=2)
    assert head["ContentLength"] == 5 * MIB
    assert refused(client.get_object, Bucket=bucket, Key="k", PartNumber=4)[0] == 416
    assert client.head_object(Bucket=bucket, Key="k")["Metadata"] == {"m": "1"}
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_multipart_refusals(client, bucket):
    upload = start(client, bucket, "k")
    call = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    one = client.upload_part(**call, PartNumber=1, Body=b"small")["ETag"]
    two = client.upload_part(**call, PartNumber=2, Body=b"end")["ETag"]

    def finish(*pairs, **more):
        parts = [{"PartNumber": n, "ETag": t} for n, t in pairs]
        return client.complete_multipart_upload(**call, MultipartUpload={"Parts": parts}, **more)

    assert refused(finish, (1, one), (2, two)) == (400, "EntityTooSmall")
    assert refused(finish, (2, two), (1, one)) == (400, "InvalidPartOrder")
    assert refused(finish, (1, two)) == (400, "InvalidPart")
    assert refused(finish) == (400, "MalformedXML")
    assert refused(client.upload_part, **call, PartNumber=0, Body=b"") == (400, "InvalidArgument")
    assert refused(client.upload_part, **call, PartNumber=10001, Body=b"") == (400, "InvalidArgument")
    # A part between COS's least size and S3's.
    between = client.upload_part(**call, PartNumber=1, Body=body(2 * MIB))["ETag"]
    assert refused(finish, (1, between), (2, two)) == (400, "EntityTooSmall")
    client.put_object(Bucket=bucket, Key="k", Body=b"was first")
    assert refused(finish, (2, two), IfNoneMatch="*") == (412, "PreconditionFailed")
    finish((2, two))
    assert read(client, bucket, "k") == b"end"
    gone = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    assert refused(client.abort_multipart_upload, **gone) == (404, "NoSuchUpload")
    assert refused(client.list_parts, **gone) == (404, "NoSuchUpload")
    assert refused(client.upload_part, **gone, PartNumber=1, Body=b"") == (404, "NoSuchUpload")


def test_list_uploads_in_pages(client, bucket):
    expected = []
    for key in ("a/1", "a/2", "a/2", "b", "c/3"):
        expected.append((key, start(client, bucket, key)))
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 2}
    )
    seen = [(u["Key"], u["UploadId"]) for page in pages for u in page.get("Uploads", [])]
    assert sorted(seen) == sorted(expected)
    page = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert prefixes_of(page) == ["a/", "c/"] and [u["Key"] for u in page["Uploads"]] == ["b"]
    page = client.list_multipart_uploads(Bucket=bucket, Prefix="c")
    assert [u["Key"] for u in page["Uploads"]] == ["c/3"]
    for key, upload in expected:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    client.delete_bucket(Bucket=bucket)


def test_upload_part_copy(client, bucket):
    data = body(12 * MIB)
    client.put_object(Bucket=bucket, Key="src", Body=data)
    upload = start(client, bucket, "dst")
    call = {"Bucket": bucket, "Key": "dst", "UploadId": upload, "CopySource": {"Bucket": bucket, "Key": "src"}}
    parts = []
    for number, (first, last) in enumerate([(0, 6 * MIB - 1), (6 * MIB, 12 * MIB - 1)], 1):
        done = client.upload_part_copy(
            **call, PartNumber=number, CopySourceRange=f"bytes={first}-{last}"
        )["CopyPartResult"]
        assert done["ETag"] == etag(data[first : last + 1])
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    bad = {"CopySourceRange": f"bytes=0-{12 * MIB}"}
    assert refused(client.upload_part_copy, **call, PartNumber=3, **bad)[0] in (400, 416)
    client.complete_multipart_upload(
        Bucket=bucket, Key="dst", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert read(client, bucket, "dst") == data


# -- checksums -------------------------------------------------------------------


def crc_bitwise(data, polynomial, width):
    """A reflected CRC with all ones before and after, bit by bit."""
    mask = (1 << width) - 1
    value = mask
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return (value ^ mask).to_bytes(width // 8, "big")


DIGESTS = {
    "CRC32": lambda d: zlib.crc32(d).to_bytes(4, "big"),
    "CRC32C": lambda d: crc_bitwise(d, 0x82F63B78, 32),
    "CRC64NVME": lambda d: crc_bitwise(d, 0x9A6C9329AC4BC9B5, 64),
    "SHA1": lambda d: hashlib.sha1(d).digest(),
    "SHA256": lambda d: hashlib.sha256(d).digest(),
}


def checksum(algorithm, data):
    return base64.b64encode(DIGESTS[algorithm](data)).decode()


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_checksum_in_the_header(client, bucket, algorithm):
    data = body(10_000)
    field = f"Checksum{algorithm}"
    put = client.put_object(Bucket=bucket, Key="k", Body=data, **{field: checksum(algorithm, data)})
    assert put[field] == checksum(algorithm, data)
    got = client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[field] == checksum(algorithm, data) and got["ChecksumType"] == "FULL_OBJECT"
    got["Body"].read()
    wrong = {field: checksum(algorithm, b"other")}
    assert refused(client.put_object, Bucket=bucket, Key="k2", Body=data, **wrong) == (400, "BadDigest")
    invalid = {field: "!!!"}
    assert refused(client.put_object, Bucket=bucket, Key="k2", Body=data, **invalid)[0] == 400
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == ["k"]


def signed(server, method, bucket, path, data=b"", headers=None, query="", payload=None):
    """A request signed by botocore's signer, sent as it stands."""
    host = f"{harness.host_of(bucket)}:{server.port}"
    request = AWSRequest(method, f"http://{host}/{path}{query}", data=data, headers=headers or {})
    sigv4(payload).add_auth(request)
    prepared = request.prepare()
    return requests.request(method, prepared.url, headers=dict(prepared.headers), data=data)


def aws_chunked(data, trailer, size=8192):
    framed = b""
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        framed += b"%x\r\n%s\r\n" % (len(piece), piece)
    return framed + b"0\r\n" + trailer + b"\r\n"


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_checksum_in_the_trailer(server, virtual, bucket, algorithm):
    data = body(30_000)
    name = f"x-amz-checksum-{algorithm.lower()}"

    def put(key, value, declared=name):
        return signed(
            server, "PUT", bucket, key,
            data=aws_chunked(data, f"{name}:{value}\r\n".encode()),
            headers={
                "content-encoding": "aws-chunked",
                "x-amz-decoded-content-length": str(len(data)),
                "x-amz-trailer": declared,
            },
            payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        )

    done = put("k", checksum(algorithm, data))
    assert done.status_code == 200, done.text
    assert done.headers[name] == checksum(algorithm, data)
    got = virtual.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == data
    assert got[f"Checksum{algorithm}"] == checksum(algorithm, data)
    assert "aws-chunked" not in got.get("ContentEncoding", "")
    wrong = put("k2", checksum(algorithm, b"other"))
    assert wrong.status_code == 400 and "BadDigest" in wrong.text, wrong.text
    assert refused(virtual.head_object, Bucket=bucket, Key="k2")[0] == 404


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_boto3_streams_with_a_trailer(client, bucket, algorithm):
    data = body(3 * MIB)

    class Unseekable(io.RawIOBase):
        def __init__(self):
            self.inner = io.BytesIO(data)

        def readable(self):
            return True

        def read(self, n=-1):
            return self.inner.read(n)

    client.put_object(
        Bucket=bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm
    )
    assert read(client, bucket, "k") == data
    client.upload_fileobj(
        Unseekable(), bucket, "k2", ExtraArgs={"ChecksumAlgorithm": algorithm}
    )
    assert read(client, bucket, "k2") == data


@pytest.mark.parametrize(
    "algorithm, kind",
    [
        ("CRC32", "COMPOSITE"), ("CRC32C", "COMPOSITE"), ("SHA1", "COMPOSITE"), ("SHA256", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"),
    ],
)
def test_checksums_of_multipart(virtual, bucket, algorithm, kind):
    field = f"Checksum{algorithm}"
    # The bitwise reference is slow: a first part of the least size, mostly zeros.
    bodies = [bytes(5 * MIB) if algorithm in ("CRC32", "SHA1", "SHA256") else None, body(5000, 2)]
    if bodies[0] is None:
        bodies = bodies[1:]
    upload = start(virtual, bucket, "k", ChecksumAlgorithm=algorithm, ChecksumType=kind)
    call = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    parts = []
    for number, data in enumerate(bodies, 1):
        wrong = {field: checksum(algorithm, b"other")}
        assert refused(virtual.upload_part, **call, PartNumber=number, Body=data, **wrong) == (400, "BadDigest")
        done = virtual.upload_part(**call, PartNumber=number, Body=data, **{field: checksum(algorithm, data)})
        assert done[field] == checksum(algorithm, data)
        parts.append({"PartNumber": number, "ETag": done["ETag"], field: done[field]})
    listed = virtual.list_parts(**call)
    assert listed["ChecksumAlgorithm"] == algorithm and listed["ChecksumType"] == kind
    assert [p[field] for p in listed["Parts"]] == [p[field] for p in parts]
    done = virtual.complete_multipart_upload(**call, MultipartUpload={"Parts": parts})
    if kind == "COMPOSITE":
        joined = b"".join(DIGESTS[algorithm](data) for data in bodies)
        expected = f"{checksum(algorithm, joined)}-{len(bodies)}"
    else:
        expected = checksum(algorithm, b"".join(bodies))
    assert (done[field], done["ChecksumType"]) == (expected, kind)
    head = virtual.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (expected, kind)
    found = virtual.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectParts", "ETag", "ObjectSize", "StorageClass"]
    )
    assert found["ObjectSize"] == sum(map(len, bodies)) and found["StorageClass"] == "STANDARD"
    assert found["ETag"] == multipart_etag(bodies).strip('"')
    assert found["Checksum"][field] == expected.split("-")[0] or found["Checksum"][field] == expected
    assert found["ObjectParts"]["TotalPartsCount"] == len(bodies)
    assert read(virtual, bucket, "k") == b"".join(bodies)


def test_wrong_full_object_checksum_at_completion(virtual, bucket):
    upload = start(virtual, bucket, "k", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    call = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    done = virtual.upload_part(**call, PartNumber=1, Body=b"data", ChecksumAlgorithm="CRC32")
    parts = {"Parts": [{"PartNumber": 1, "ETag": done["ETag"], "ChecksumCRC32": done["ChecksumCRC32"]}]}
    wrong = {"ChecksumCRC32": checksum("CRC32", b"other"), "ChecksumType": "FULL_OBJECT"}
    assert refused(virtual.complete_multipart_upload, **call, MultipartUpload=parts, **wrong)[0] == 400
    size = {"MpuObjectSize": 5}
    assert refused(virtual.complete_multipart_upload, **call, MultipartUpload=parts, **size)[0] == 400
    right = {"ChecksumCRC32": checksum("CRC32", b"data"), "ChecksumType": "FULL_OBJECT", "MpuObjectSize": 4}
    virtual.complete_multipart_upload(**call, MultipartUpload=parts, **right)
    assert read(virtual, bucket, "k") == b"data"


def test_object_attributes(client, bucket):
    data = body(1234)
    client.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm="SHA256")
    found = client.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"]
    )
    assert found["ETag"] == md5_hex(data) and found["ObjectSize"] == 1234
    assert found["Checksum"]["ChecksumSHA256"] == checksum("SHA256", data)
    assert found["LastModified"]
    only = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert "ETag" not in only and only["ObjectSize"] == 1234
    missing = {"Bucket": bucket, "Key": "missing", "ObjectAttributes": ["ETag"]}
    assert refused(client.get_object_attributes, **missing) == (404, "NoSuchKey")


def test_content_md5(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=md5_base64(b"x"))
    put = {"Bucket": bucket, "Key": "k", "Body": b"y"}
    assert refused(client.put_object, **put, ContentMD5=md5_base64(b"x")) == (400, "BadDigest")
    assert refused(client.put_object, **put, ContentMD5="bad") == (400, "InvalidDigest")
    assert read(client, bucket, "k") == b"x"


def test_payload_hash_is_checked(server, virtual, bucket):
    host = f"{harness.host_of(bucket)}:{server.port}"
    request = AWSRequest("PUT", f"http://{host}/k", data=b"signed body")
    sigv4(hashlib.sha256(b"signed body").hexdigest()).add_auth(request)
    headers = dict(request.prepare().headers)
    done = requests.put(f"http://{host}/k", data=b"other body!", headers=headers)
    assert done.status_code in (400, 403), done.text
    assert refused(virtual.head_object, Bucket=bucket, Key="k")[0] == 404


# -- signatures ------------------------------------------------------------------


@pytest.mark.parametrize("style", ["virtual", "path"])
@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_signature_versions(server, bucket, style, signature):
    client = s3(server, style, signature)
    data = body(100_000)
    client.put_object(Bucket=bucket, Key="a b+c", Body=data, Metadata={"x": "1"})
    assert read(client, bucket, "a b+c", ResponseContentType="a/b") == data
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == ["a b+c"]
    assert client.list_multipart_uploads(Bucket=bucket)["IsTruncated"] is False
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "p q"})
    assert requests.put(put, data=b"by url").status_code == 200
    get = client.generate_presigned_url(
        "get_object",
        Params={"Bucket": bucket, "Key": "p q", "ResponseContentDisposition": "attachment; filename=x"},
    )
    got = requests.get(get)
    assert got.content == b"by url" and got.headers["Content-Disposition"] == "attachment; filename=x"
    assert requests.get(get.replace("p%20q", "a%20b%2Bc")).status_code == 403
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "p q"}]})
    wrong = s3(server, style, signature, secret_key="w" * 32)
    assert refused(wrong.list_objects_v2, Bucket=bucket) == (403, "SignatureDoesNotMatch")
    foreign = s3(server, style, signature, access_key="AKIDnobody")
    assert refused(foreign.list_objects_v2, Bucket=bucket) == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_presigned_expires(server, bucket, signature):
    client = s3(server, signature=signature)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=1)
    time.sleep(2.1)
    refusal = requests.get(url)
    assert refusal.status_code == 403
    assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in refusal.text


def test_presigned_for_too_long(virtual, bucket):
    url = virtual.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=604801
    )
    refusal = requests.get(url)
    assert refusal.status_code == 400 and "AuthorizationQueryParametersError" in refusal.text


def test_regions_of_the_scope(server, bucket):
    for region in ("us-east-1", "auto", harness.REGION):
        session = botocore.session.get_session()
        client = session.create_client(
            "s3", region_name=region, endpoint_url=f"http://{harness.ENDPOINT}:{server.port}",
            aws_access_key_id=harness.SECRET_ID, aws_secret_access_key=harness.SECRET_KEY,
        )
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0, region


def test_clock_skew(server, bucket):
    import botocore.auth
    from unittest import mock

    earlier = datetime.now(timezone.utc) - timedelta(minutes=20)
    real = botocore.auth.get_current_datetime
    with mock.patch.object(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) - timedelta(minutes=20)
    ):
        answer = signed(server, "GET", bucket, "", query="?list-type=2")
    assert answer.status_code == 403 and "<Code>RequestTimeTooSkewed</Code>" in answer.text, (earlier, answer.text)
    assert "<ServerTime>" in answer.text


def test_unsigned_is_refused(server, bucket):
    for method in ("GET", "PUT", "HEAD", "DELETE", "POST"):
        answer = requests.request(
            method, f"http://127.0.0.1:{server.port}/{bucket}/k", headers={"x-amz-date": "x"}
        )
        assert answer.status_code == 403, (method, answer.text)


# -- form upload -----------------------------------------------------------------


def test_post_policy(client, bucket):
    post = client.generate_presigned_post(
        bucket, "up/${filename}",
        Fields={"x-amz-meta-a": "1", "Content-Type": "text/plain", "success_action_status": "201"},
        Conditions=[
            {"x-amz-meta-a": "1"},
            ["starts-with", "$Content-Type", "text/"],
            {"success_action_status": "201"},
            ["content-length-range", 1, 100],
        ],
    )
    files = {"file": ("name 中.txt", b"form", "ignored/type")}
    done = requests.post(post["url"], data=post["fields"], files=files)
    assert done.status_code == 201, done.text
    assert f"<Bucket>{bucket}</Bucket>" in done.text and f"<ETag>{etag(b'form')}</ETag>".replace(
        '"', "&quot;"
    ) in done.text.replace('"', "&quot;")
    head = client.head_object(Bucket=bucket, Key="up/name 中.txt")
    assert head["Metadata"] == {"a": "1"} and head["ContentType"] == "text/plain"
    fields = dict(post["fields"], **{"Content-Type": "image/png"})
    assert requests.post(post["url"], data=fields, files=files).status_code == 403
    extra = dict(post["fields"], **{"x-amz-meta-b": "not in the policy"})
    assert requests.post(post["url"], data=extra, files=files).status_code == 403
    files = {"file": ("big", b"x" * 101)}
    done = requests.post(post["url"], data=post["fields"], files=files)
    assert done.status_code == 400 and "EntityTooLarge" in done.text
    forged = dict(post["fields"], **{"x-amz-signature": "0" * 64})
    assert requests.post(post["url"], data=forged, files=files).status_code == 403
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == ["up/name 中.txt"]


def test_post_policy_version_2(server, bucket):
    client = s3(server, signature="s3")
    post = client.generate_presigned_post(bucket, "k")
    done = requests.post(post["url"], data=post["fields"], files={"file": b"v2 form"})
    assert done.status_code == 204, done.text
    assert read(client, bucket, "k") == b"v2 form"


def test_what_is_not_implemented_says_so(client, bucket):
    calls = [
        lambda: client.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256"),
        lambda: client.put_object(
            Bucket=bucket, Key="k", Body=b"", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32
        ),
    ]
    for number, call in enumerate(calls):
        assert (number, *refused(call)) == (number, 501, "NotImplemented")
    assert keys_of(client.list_objects_v2(Bucket=bucket)) == []
