"""cos-python-sdk-v5 against the server: what its users call, with real input."""

import base64
import hashlib
import hmac
import io
import json
import time
import urllib.parse
from datetime import datetime, timedelta, timezone

import pytest
import requests
from qcloud_cos import CosConfig, CosClientError, CosS3Client, CosServiceError

import harness
from checksums import body, crc64_ecma, etag, md5_base64, md5_hex, multipart_etag
from conftest import bucket_name
from cosclient import make_client

MIB = 1024 * 1024


@pytest.fixture
def client(server):
    return make_client(server)


def refused(call, *args, **kwargs):
    """The error a call ends in."""
    with pytest.raises(CosServiceError) as caught:
        call(*args, **kwargs)
    return caught.value


def expect(error, status, code):
    assert (error.get_status_code(), error.get_error_code()) == (status, code), error.get_origin_msg()


def read(response):
    return response["Body"].get_raw_stream().read()


def source(bucket, key):
    return {"Bucket": bucket, "Key": key, "Region": harness.REGION}


# -- service and buckets ---------------------------------------------------------


def test_bucket_life(client):
    name = bucket_name()
    assert not client.bucket_exists(Bucket=name)
    client.create_bucket(Bucket=name)
    assert client.head_bucket(Bucket=name)["x-cos-bucket-region"] == harness.REGION
    assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == harness.REGION

    listed = client.list_buckets()
    owner = f"qcs::cam::uin/{harness.OWNER_UIN}:uin/{harness.OWNER_UIN}"
    assert listed["Owner"] == {"ID": owner, "DisplayName": harness.OWNER_UIN}
    entry = next(b for b in listed["Buckets"]["Bucket"] if b["Name"] == name)
    assert entry["Location"] == harness.REGION
    datetime.strptime(entry["CreationDate"], "%Y-%m-%dT%H:%M:%SZ")

    expect(refused(client.create_bucket, Bucket=name), 409, "BucketAlreadyOwnedByYou")
    client.put_object(Bucket=name, Key="k", Body=b"x")
    expect(refused(client.delete_bucket, Bucket=name), 409, "BucketNotEmpty")
    client.delete_object(Bucket=name, Key="k")
    client.delete_bucket(Bucket=name)
    assert not client.bucket_exists(Bucket=name)
    expect(refused(client.delete_bucket, Bucket=name), 404, "NoSuchBucket")
    expect(refused(client.put_object, Bucket=name, Key="k", Body=b"x"), 404, "NoSuchBucket")


def test_bucket_is_kept_by_an_open_upload(client, bucket):
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    expect(refused(client.delete_bucket, Bucket=bucket), 409, "BucketNotEmpty")
    client.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    client.delete_bucket(Bucket=bucket)


def test_list_buckets_filters_and_pages(client):
    names = sorted(bucket_name() for _ in range(3))
    for name in names:
        client.create_bucket(Bucket=name)
    seen, marker = [], ""
    while True:
        page = client.list_buckets(Region=harness.REGION, Marker=marker, MaxKeys=2)
        entries = page["Buckets"]["Bucket"] if page["Buckets"] else []
        assert len(entries) <= 2
        seen += [b["Name"] for b in entries]
        if page.get("IsTruncated") != "true":
            break
        marker = page["NextMarker"]
    assert [n for n in seen if n in names] == names
    assert len(seen) == len(set(seen))
    elsewhere = client.list_buckets(Region="ap-nowhere")
    assert not elsewhere["Buckets"]


@pytest.mark.parametrize(
    "name",
    [
        f"-a-{harness.APPID}",
        f"under_score-{harness.APPID}",
        f"{'a' * 60}-{harness.APPID}",
    ],
)
def test_bucket_names_are_checked(server, name):
    # The SDK lets these through to the host name; a raw request does not alter them.
    answer = server.cos("PUT", name)
    assert answer.status == 400, answer
    assert answer.code() in ("InvalidBucketName", "BucketNameTooLong", "InvalidURI"), answer


def test_bucket_of_another_appid(server):
    answer = server.cos("PUT", "mine-1250000099")
    assert answer.status in (400, 403), answer


# -- objects ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, MIB, 5 * MIB + 13])
def test_put_get_head(client, bucket, size):
    data = body(size)
    put = client.put_object(Bucket=bucket, Key="dir/key.bin", Body=data)
    assert put["ETag"] == etag(data)
    assert put["x-cos-hash-crc64ecma"] == str(crc64_ecma(data))
    assert put["x-cos-request-id"]

    got = client.get_object(Bucket=bucket, Key="dir/key.bin")
    assert read(got) == data
    head = client.head_object(Bucket=bucket, Key="dir/key.bin")
    for answer in (got, head):
        assert answer["Content-Length"] == str(size)
        assert answer["ETag"] == etag(data)
        assert answer["x-cos-hash-crc64ecma"] == str(crc64_ecma(data))
        assert answer["Accept-Ranges"] == "bytes"
        assert answer["Content-Type"]
        assert answer["Date"] and answer["Server"]
        assert "x-cos-storage-class" not in answer
        when = datetime.strptime(answer["Last-Modified"], "%a, %d %b %Y %H:%M:%S GMT")
        assert abs(when.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_header_names_on_the_wire(server, bucket):
    # The SDK hands headers to its users in a case-sensitive dict.
    assert server.cos("PUT", bucket, "k", body=b"x", headers={"x-cos-meta-a": "1"}).header("ETag")
    answer = server.cos("GET", bucket, "k", headers={"Range": "bytes=0-0"})
    names = {name for name, _ in answer.headers}
    assert {
        "Accept-Ranges",
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "Date",
        "ETag",
        "Last-Modified",
        "Server",
        "x-cos-hash-crc64ecma",
        "x-cos-meta-a",
        "x-cos-request-id",
    } <= names, names
    assert server.cos("HEAD", bucket).header("x-cos-bucket-region") == harness.REGION


def test_overwrite_and_delete(client, bucket):
    for data in (b"first", b"second, longer", body(300_000), b""):
        client.put_object(Bucket=bucket, Key="k", Body=data)
        assert read(client.get_object(Bucket=bucket, Key="k")) == data
    client.delete_object(Bucket=bucket, Key="k")
    assert not client.object_exists(Bucket=bucket, Key="k")
    client.delete_object(Bucket=bucket, Key="k")
    expect(refused(client.get_object, Bucket=bucket, Key="k"), 404, "NoSuchKey")
    error = refused(client.head_object, Bucket=bucket, Key="k")
    expect(error, 404, "NoSuchResource")
    assert error.get_request_id() != "Unknown"


def test_errors_are_complete(server, client, bucket):
    error = refused(client.get_object, Bucket=bucket, Key="miss ing")
    expect(error, 404, "NoSuchKey")
    assert error.get_error_msg()
    assert error.get_resource_location().endswith(("/miss ing", "/miss%20ing"))
    assert error.get_resource_location().startswith(f"{bucket}.{harness.ENDPOINT}")
    answer = server.cos("GET", bucket, "nothing")
    text = answer.body.decode()
    request_id = answer.header("x-cos-request-id")
    assert request_id and f"<RequestId>{request_id}</RequestId>" in text
    trace_id = answer.header("x-cos-trace-id")
    assert trace_id and f"<TraceId>{trace_id}</TraceId>" in text
    assert answer.header("Content-Type") == "application/xml"
    assert answer.header("Date")


@pytest.mark.parametrize(
    "value, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-99", 10, 99),
        ("bytes=999-", 999, 999),
        ("bytes=500-100000", 500, 999),
        ("bytes=-1", 999, 999),
        ("bytes=-5000", 0, 999),
    ],
)
def test_range(client, bucket, value, first, last):
    data = body(1000)
    client.put_object(Bucket=bucket, Key="k", Body=data)
    got = client.get_object(Bucket=bucket, Key="k", Range=value)
    assert read(got) == data[first : last + 1]
    assert got["Content-Range"] == f"bytes {first}-{last}/1000"
    assert got["Content-Length"] == str(last - first + 1)
    assert got["ETag"] == etag(data)


def test_range_beyond_the_end(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    expect(refused(client.get_object, Bucket=bucket, Key="k", Range="bytes=10-"), 416, "InvalidRange")
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    expect(refused(client.get_object, Bucket=bucket, Key="empty", Range="bytes=0-0"), 416, "InvalidRange")


def test_range_across_a_large_object(client, bucket, seeded):
    data = body(9 * MIB + 7)
    client.put_object(Bucket=bucket, Key="big", Body=data)
    for _ in range(30):
        first = seeded.randrange(len(data))
        last = min(len(data) - 1, first + seeded.choice([0, 1, 4095, 65536, 3 * MIB]))
        got = client.get_object(Bucket=bucket, Key="big", Range=f"bytes={first}-{last}")
        assert read(got) == data[first : last + 1], (first, last)


def test_metadata(client, bucket):
    sent = {
        "x-cos-meta-author": "someone",
        "x-cos-meta-empty-not": "a, b; c=d",
        "x-cos-meta-encoded": urllib.parse.quote("值 with spaces"),
    }
    client.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"x",
        Metadata=sent,
        ContentType="text/plain; charset=utf-8",
        ContentDisposition='attachment; filename="a.txt"',
        ContentEncoding="identity",
        ContentLanguage="zh-CN",
        CacheControl="max-age=60",
        Expires="Wed, 21 Oct 2037 07:28:00 GMT",
    )
    head = client.head_object(Bucket=bucket, Key="k")
    assert {k: v for k, v in head.items() if k.startswith("x-cos-meta-")} == sent
    assert head["Content-Type"] == "text/plain; charset=utf-8"
    assert head["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert head["Content-Encoding"] == "identity"
    assert head["Content-Language"] == "zh-CN"
    assert head["Cache-Control"] == "max-age=60"
    assert head["Expires"] == "Wed, 21 Oct 2037 07:28:00 GMT"
    client.put_object(Bucket=bucket, Key="k", Body=b"y")
    head = client.head_object(Bucket=bucket, Key="k")
    assert not [k for k in head if k.startswith("x-cos-meta-")] and "Expires" not in head


def test_metadata_above_the_limit(client, bucket):
    put = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    client.put_object(**put, Metadata={"x-cos-meta-a": "v" * 2000})
    error = refused(client.put_object, **put, Metadata={"x-cos-meta-a": "v" * 2048})
    assert error.get_status_code() == 400
    assert client.head_object(Bucket=bucket, Key="k")["x-cos-meta-a"] == "v" * 2000


def test_default_content_type(server, bucket):
    assert server.cos("PUT", bucket, "k", body=b"x").status == 200
    assert server.cos("HEAD", bucket, "k").header("Content-Type") == "application/octet-stream"


def test_content_md5(client, bucket):
    data = body(100_000)
    client.put_object(Bucket=bucket, Key="k", Body=data, EnableMD5=True)
    error = refused(
        client.put_object, Bucket=bucket, Key="k", Body=b"other", ContentMD5=md5_base64(data)
    )
    expect(error, 400, "BadDigest")
    error = refused(client.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="not base64")
    expect(error, 400, "InvalidDigest")
    assert read(client.get_object(Bucket=bucket, Key="k")) == data


@pytest.mark.parametrize("kind", ["inline", "file"])
def test_body_from_a_stream(client, bucket, kind):
    data = body(3000 if kind == "inline" else 3 * MIB)
    client.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(data))
    assert read(client.get_object(Bucket=bucket, Key="k")) == data

    def pieces():
        for at in range(0, len(data), 10_000):
            yield data[at : at + 10_000]

    put = client.put_object(Bucket=bucket, Key="chunked", Body=pieces())
    assert put["ETag"] == etag(data)
    assert read(client.get_object(Bucket=bucket, Key="chunked")) == data


def test_storage_class(client, bucket):
    for name in ("STANDARD_IA", "INTELLIGENT_TIERING", "ARCHIVE", "DEEP_ARCHIVE"):
        client.put_object(Bucket=bucket, Key=name, Body=b"x", StorageClass=name)
        assert client.head_object(Bucket=bucket, Key=name)["x-cos-storage-class"] == name
    client.put_object(Bucket=bucket, Key="S", Body=b"x", StorageClass="STANDARD")
    assert "x-cos-storage-class" not in client.head_object(Bucket=bucket, Key="S")
    listed = client.list_objects(Bucket=bucket)["Contents"]
    assert {e["Key"]: e["StorageClass"] for e in listed} == {
        "STANDARD_IA": "STANDARD_IA",
        "INTELLIGENT_TIERING": "INTELLIGENT_TIERING",
        "ARCHIVE": "ARCHIVE",
        "DEEP_ARCHIVE": "DEEP_ARCHIVE",
        "S": "STANDARD",
    }
    error = refused(client.put_object, Bucket=bucket, Key="k", Body=b"x", StorageClass="GOLD")
    assert error.get_status_code() == 400
    assert error.get_error_code() in ("InvalidArgument", "NotSupportedStorageClass", "InvalidStorageClass")
    assert not client.object_exists(Bucket=bucket, Key="k")


def test_change_storage_class_and_metadata(server, client, bucket):
    data = body(200_000)
    client.put_object(Bucket=bucket, Key="k", Body=data, Metadata={"x-cos-meta-a": "1"})
    # `change_object_storage_class` builds the source from its endpoint, with the port.
    client.change_object_storage_class(Bucket=bucket, Key="k", StorageClass="STANDARD_IA")
    head = client.head_object(Bucket=bucket, Key="k")
    assert head["x-cos-storage-class"] == "STANDARD_IA"
    assert "x-cos-meta-a" not in head
    client.update_object_meta(Bucket=bucket, Key="k", ContentType="text/html", Metadata={"x-cos-meta-b": "2"})
    head = client.head_object(Bucket=bucket, Key="k")
    assert (head["Content-Type"], head["x-cos-meta-b"]) == ("text/html", "2")
    assert "x-cos-storage-class" not in head
    assert head["ETag"] == etag(data)
    assert read(client.get_object(Bucket=bucket, Key="k")) == data


# -- conditions ------------------------------------------------------------------


def test_conditions_on_get_and_head(server, client, bucket):
    data = b"conditional"
    client.put_object(Bucket=bucket, Key="k", Body=data)
    modified = client.head_object(Bucket=bucket, Key="k")["Last-Modified"]
    earlier = "Wed, 21 Oct 2015 07:28:00 GMT"
    tag, other = etag(data), '"0123456789abcdef0123456789abcdef"'
    cases = [
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": other}, 412),
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": other}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": earlier}, 200),
        ({"If-Unmodified-Since": modified}, 200),
        ({"If-Unmodified-Since": earlier}, 412),
        ({"If-Match": tag, "If-Unmodified-Since": earlier}, 200),
        ({"If-None-Match": other, "If-Modified-Since": modified}, 200),
        ({"If-None-Match": tag, "If-Modified-Since": earlier}, 304),
    ]
    for headers, status in cases:
        for method in ("GET", "HEAD"):
            answer = server.cos(method, bucket, "k", headers=headers)
            assert answer.status == status, (method, headers, answer)
            if status == 304:
                assert answer.body == b"" and answer.header("ETag") == tag, answer
            if status == 412 and method == "GET":
                assert answer.code() == "PreconditionFailed", answer
    assert read(client.get_object(Bucket=bucket, Key="k", IfMatch=tag)) == data
    expect(refused(client.get_object, Bucket=bucket, Key="k", IfMatch=other), 412, "PreconditionFailed")


def test_forbid_overwrite(server, client, bucket):
    header = {"x-cos-forbid-overwrite": "true"}
    client.put_object(Bucket=bucket, Key="k", Body=b"first", Metadata=header)
    error = refused(client.put_object, Bucket=bucket, Key="k", Body=b"second", Metadata=header)
    assert error.get_status_code() == 409, error.get_origin_msg()
    assert error.get_error_code() == "FileAlreadyExists", error.get_origin_msg()
    assert read(client.get_object(Bucket=bucket, Key="k")) == b"first"
    off = {"x-cos-forbid-overwrite": "false"}
    client.put_object(Bucket=bucket, Key="k", Body=b"third", Metadata=off)
    assert read(client.get_object(Bucket=bucket, Key="k")) == b"third"
    client.delete_object(Bucket=bucket, Key="k")
    client.put_object(Bucket=bucket, Key="k", Body=b"again", Metadata=header)


def test_forbid_overwrite_has_one_winner(server, bucket):
    statuses = []

    def put(n):
        answer = server.cos(
            "PUT", bucket, "race", body=b"%d" % n, headers={"x-cos-forbid-overwrite": "true"}
        )
        statuses.append((answer.status, n))

    harness.in_threads(16, put)
    winners = [n for status, n in statuses if status == 200]
    assert len(winners) == 1, statuses
    assert all(status in (200, 409) for status, _ in statuses), statuses
    assert server.cos("GET", bucket, "race").body == b"%d" % winners[0]


# -- listing ---------------------------------------------------------------------

KEYS = ["a", "a/b", "a/c/d", "a0", "b c", "b+c", "b/", "b/x", "中/文", "中文", "😀", "\ufb01"]


def put_all(client, bucket, keys):
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())


def keys_of(page):
    return [entry["Key"] for entry in page.get("Contents", [])]


def prefixes_of(page):
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


def test_list_order_and_fields(client, bucket):
    put_all(client, bucket, KEYS)
    page = client.list_objects(Bucket=bucket)
    assert keys_of(page) == sorted(KEYS, key=str.encode)
    assert (page["Name"], page["IsTruncated"], page["MaxKeys"]) == (bucket, "false", "1000")
    assert "NextMarker" not in page
    entry = page["Contents"][0]
    assert entry["Size"] == "1" and entry["ETag"] == etag(b"a")
    assert entry["StorageClass"] == "STANDARD"
    assert entry["Owner"]["ID"] == harness.APPID
    stamp = entry["LastModified"]
    assert stamp.endswith(".000Z") and "T" in stamp, stamp
    encoded = client.list_objects(Bucket=bucket, EncodingType="url")
    assert encoded["EncodingType"] == "url"
    assert "b%2Bc" in keys_of(encoded) and "b%20c" in keys_of(encoded) and "a/b" in keys_of(encoded)


def test_list_prefix_and_delimiter(client, bucket):
    put_all(client, bucket, KEYS)
    page = client.list_objects(Bucket=bucket, Delimiter="/")
    assert prefixes_of(page) == ["a/", "b/", "中/"]
    assert keys_of(page) == ["a", "a0", "b c", "b+c", "中文", "\ufb01", "😀"]
    page = client.list_objects(Bucket=bucket, Delimiter="/", Prefix="b/")
    assert (keys_of(page), prefixes_of(page)) == (["b/", "b/x"], [])
    page = client.list_objects(Bucket=bucket, Prefix="a/")
    assert keys_of(page) == ["a/b", "a/c/d"]
    page = client.list_objects(Bucket=bucket, Prefix="nothing")
    assert keys_of(page) == []
    page = client.list_objects(Bucket=bucket, Prefix="中")
    assert keys_of(page) == ["中/文", "中文"]


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_list_in_pages(client, bucket, size, delimiter):
    put_all(client, bucket, KEYS)
    whole = client.list_objects(Bucket=bucket, Delimiter=delimiter)
    keys, prefixes, marker = [], [], ""
    while True:
        page = client.list_objects(Bucket=bucket, Delimiter=delimiter, Marker=marker, MaxKeys=size)
        assert len(keys_of(page)) + len(prefixes_of(page)) <= size
        keys += keys_of(page)
        prefixes += prefixes_of(page)
        if page["IsTruncated"] == "false":
            break
        marker = page["NextMarker"]
    assert (keys, prefixes) == (keys_of(whole), prefixes_of(whole))


def test_list_markers_need_not_exist(client, bucket):
    put_all(client, bucket, KEYS)
    ordered = sorted(KEYS, key=str.encode)
    for marker in ("a/bb", "b", "zzz", "", "a/b"):
        page = client.list_objects(Bucket=bucket, Marker=marker)
        assert keys_of(page) == [k for k in ordered if k.encode() > marker.encode()], marker
    page = client.list_objects(Bucket=bucket, Delimiter="/", Marker="a/")
    assert prefixes_of(page) == ["b/", "中/"]


def test_list_refuses_what_it_cannot_do(server, bucket):
    answer = server.cos("GET", bucket, query={"max-keys": "many"})
    assert (answer.status, answer.code()) == (400, "InvalidArgument")
    answer = server.cos("GET", bucket, query={"max-keys": "-1"})
    assert (answer.status, answer.code()) == (400, "InvalidArgument")
    answer = server.cos("GET", bucket, query={"delimiter": "ab"})
    assert (answer.status, answer.code()) == (400, "InvalidDelimiter")
    answer = server.cos("GET", bucket, query={"max-keys": "5000"})
    assert answer.status == 200 and b"<MaxKeys>1000</MaxKeys>" in answer.body, answer


def test_list_more_than_a_page(server, client, bucket):
    import http.client

    keys = [f"many/{n:05d}" for n in range(1500)]

    def put(worker):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for key in keys[worker::8]:
            answer = harness.cos_request(connection, "PUT", bucket, key, body=b"")
            assert answer.status == 200, answer
        connection.close()

    harness.in_threads(8, put)
    page = client.list_objects(Bucket=bucket, Prefix="many/")
    assert len(keys_of(page)) == 1000 and page["IsTruncated"] == "true"
    rest = client.list_objects(Bucket=bucket, Prefix="many/", Marker=page["NextMarker"])
    assert keys_of(page) + keys_of(rest) == keys
    # Deleting a folder is the client's work: page by page.
    while keys_left := keys_of(client.list_objects(Bucket=bucket, Prefix="many/")):
        deleted = client.delete_objects(
            Bucket=bucket, Delete={"Object": [{"Key": k} for k in keys_left], "Quiet": "false"}
        )
        assert len(deleted["Deleted"]) == len(keys_left)
    client.delete_bucket(Bucket=bucket)


def test_folders_are_only_keys(client, bucket):
    client.put_object(Bucket=bucket, Key="dir/sub/file", Body=b"x")
    assert not client.object_exists(Bucket=bucket, Key="dir/")
    put = client.put_object(Bucket=bucket, Key="dir/", Body=b"")
    assert put["ETag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    client.delete_object(Bucket=bucket, Key="dir/")
    assert client.object_exists(Bucket=bucket, Key="dir/sub/file")


# -- multi-delete ----------------------------------------------------------------


def test_multi_delete(client, bucket):
    put_all(client, bucket, ["a", "b", "c & d", "keep"])
    done = client.delete_objects(
        Bucket=bucket,
        Delete={"Object": [{"Key": k} for k in ("a", "c & d", "missing")], "Quiet": "false"},
    )
    assert [d["Key"] for d in done["Deleted"]] == ["a", "c & d", "missing"]
    assert "Error" not in done
    quiet = client.delete_objects(Bucket=bucket, Delete={"Object": [{"Key": "b"}], "Quiet": "true"})
    assert "Deleted" not in quiet
    assert keys_of(client.list_objects(Bucket=bucket)) == ["keep"]


def test_multi_delete_takes_keys_literally(client, bucket):
    client.put_object(Bucket=bucket, Key="doc/a.txt", Body=b"x")
    done = client.delete_objects(Bucket=bucket, Delete={"Object": [{"Key": "/doc/a.txt"}]})
    assert [d["Key"] for d in done["Deleted"]] == ["/doc/a.txt"]
    assert client.object_exists(Bucket=bucket, Key="doc/a.txt")
    client.delete_objects(Bucket=bucket, Delete={"Object": [{"Key": "doc/a.txt"}]})
    assert not client.object_exists(Bucket=bucket, Key="doc/a.txt")


def test_multi_delete_limits(client, bucket):
    many = {"Object": [{"Key": f"k{n}"} for n in range(1001)]}
    error = refused(client.delete_objects, Bucket=bucket, Delete=many)
    assert error.get_status_code() == 400
    assert error.get_error_code() in ("MalformedXML", "InvalidRequest")
    error = refused(
        client.delete_objects, Bucket=bucket, Delete={"Object": [{"Nokey": "k"}]}
    )
    expect(error, 400, "MalformedXML")


# -- copy ------------------------------------------------------------------------


def test_copy(client, bucket):
    data = body(500_000)
    client.put_object(
        Bucket=bucket, Key="src 源", Body=data, ContentType="text/plain",
        Metadata={"x-cos-meta-a": "1"}, StorageClass="STANDARD_IA",
    )
    done = client.copy_object(Bucket=bucket, Key="dst", CopySource=source(bucket, "src 源"))
    assert done["ETag"].strip('"') == md5_hex(data)
    assert done["CRC64"] == str(crc64_ecma(data))
    datetime.strptime(done["LastModified"], "%Y-%m-%dT%H:%M:%SZ")
    head = client.head_object(Bucket=bucket, Key="dst")
    assert (head["Content-Type"], head["x-cos-meta-a"]) == ("text/plain", "1")
    assert "x-cos-storage-class" not in head  # not inherited
    assert read(client.get_object(Bucket=bucket, Key="dst")) == data
    client.delete_object(Bucket=bucket, Key="src 源")
    assert read(client.get_object(Bucket=bucket, Key="dst")) == data


def test_copy_to_another_bucket_replacing_metadata(client, bucket):
    other = bucket_name()
    client.create_bucket(Bucket=other)
    client.put_object(Bucket=bucket, Key="k", Body=b"data", Metadata={"x-cos-meta-a": "1"})
    client.copy_object(
        Bucket=other, Key="k2", CopySource=source(bucket, "k"), CopyStatus="Replaced",
        ContentType="text/css", Metadata={"x-cos-meta-b": "2"},
    )
    head = client.head_object(Bucket=other, Key="k2")
    assert (head["Content-Type"], head["x-cos-meta-b"]) == ("text/css", "2")
    assert "x-cos-meta-a" not in head


def test_copy_onto_itself_needs_a_change(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"data")
    error = refused(client.copy_object, Bucket=bucket, Key="k", CopySource=source(bucket, "k"))
    expect(error, 400, "InvalidRequest")


def test_copy_of_what_is_missing(client, bucket):
    client.put_object(Bucket=bucket, Key="dir/", Body=b"")
    client.copy_object(Bucket=bucket, Key="to/", CopySource=source(bucket, "dir/"))
    error = refused(client.copy_object, Bucket=bucket, Key="to", CopySource=source(bucket, "dir"))
    assert error.get_status_code() == 404
    assert error.get_error_code() in ("NoSuchKey", "NoSuchCopySource")
    error = refused(
        client.copy_object, Bucket=bucket, Key="to",
        CopySource=source(f"nowhere-{harness.APPID}", "dir"),
    )
    assert error.get_status_code() == 404


def test_copy_conditions(client, bucket):
    put = client.put_object(Bucket=bucket, Key="k", Body=b"data")
    copy = {"Bucket": bucket, "Key": "to", "CopySource": source(bucket, "k")}
    wrong, old = '"00000000000000000000000000000000"', "Wed, 21 Oct 2015 07:28:00 GMT"
    for failing in (
        {"CopySourceIfMatch": wrong},
        {"CopySourceIfNoneMatch": put["ETag"]},
        {"CopySourceIfUnmodifiedSince": old},
    ):
        expect(refused(client.copy_object, **copy, **failing), 412, "PreconditionFailed")
    assert not client.object_exists(Bucket=bucket, Key="to")
    for passing in (
        {"CopySourceIfMatch": put["ETag"]},
        {"CopySourceIfNoneMatch": wrong},
        {"CopySourceIfModifiedSince": old},
    ):
        client.copy_object(**copy, **passing)


def test_copy_in_parts(server, bucket):
    data = body(12 * MIB + 5)
    client = make_client(server)
    client.put_object(Bucket=bucket, Key="big", Body=data)
    # The SDK asks for the source at its own host, on the default port: go through the proxy.
    proxied = make_client(
        server,
        Endpoint=harness.ENDPOINT,
        Proxies={"http": f"http://127.0.0.1:{server.port}"},
    )
    proxied.get_conf().set_copy_part_threshold_size(MIB)
    proxied.copy(
        Bucket=bucket, Key="copied", CopySource=source(bucket, "big"), StorageClass="STANDARD_IA", PartSize=5
    )
    parts = [data[at : at + 5 * MIB] for at in range(0, len(data), 5 * MIB)]
    head = client.head_object(Bucket=bucket, Key="copied")
    assert head["ETag"] == multipart_etag(parts)
    assert head["x-cos-hash-crc64ecma"] == str(crc64_ecma(data))
    assert read(client.get_object(Bucket=bucket, Key="copied")) == data


# -- append ----------------------------------------------------------------------


def test_append(client, bucket):
    pieces = [b"first ", body(70_000), b"", b"last"]
    position = 0
    for piece in pieces:
        done = client.append_object(Bucket=bucket, Key="log", Position=position, Data=piece)
        position += len(piece)
        assert done["x-cos-next-append-position"] == str(position)
        assert done["x-cos-content-sha1"] == md5_hex(piece)
    whole = b"".join(pieces)
    got = client.get_object(Bucket=bucket, Key="log")
    assert read(got) == whole
    assert got["x-cos-object-type"] == "appendable"
    assert got["x-cos-hash-crc64ecma"] == str(crc64_ecma(whole))
    head = client.head_object(Bucket=bucket, Key="log")
    assert head["x-cos-next-append-position"] == str(len(whole))


def test_append_refusals(client, bucket):
    client.append_object(Bucket=bucket, Key="log", Position=0, Data=b"abc")
    error = refused(client.append_object, Bucket=bucket, Key="log", Position=1, Data=b"x")
    expect(error, 409, "AppendPositionErr")
    error = refused(client.append_object, Bucket=bucket, Key="new", Position=7, Data=b"x")
    expect(error, 409, "AppendPositionErr")
    client.put_object(Bucket=bucket, Key="plain", Body=b"abc")
    error = refused(client.append_object, Bucket=bucket, Key="plain", Position=3, Data=b"x")
    expect(error, 409, "ObjectNotAppendable")
    assert read(client.get_object(Bucket=bucket, Key="log")) == b"abc"
    client.put_object(Bucket=bucket, Key="log", Body=b"normal now")
    error = refused(client.append_object, Bucket=bucket, Key="log", Position=10, Data=b"x")
    expect(error, 409, "ObjectNotAppendable")


def test_append_has_one_winner_per_position(server, bucket):
    outcomes = []

    def append(n):
        answer = server.cos(
            "POST", bucket, "log", query={"append": "", "position": "0"}, body=b"%02d" % n
        )
        outcomes.append((answer.status, b"%02d" % n))

    harness.in_threads(8, append)
    winners = [text for status, text in outcomes if status == 200]
    assert len(winners) == 1, outcomes
    assert server.cos("GET", bucket, "log").body == winners[0]


# -- multipart -------------------------------------------------------------------


def upload_parts(client, bucket, key, upload, parts):
    done = []
    for number, part in parts:
        answer = client.upload_part(
            Bucket=bucket, Key=key, Body=part, PartNumber=number, UploadId=upload
        )
        assert answer["ETag"] == etag(part)
        assert answer["x-cos-hash-crc64ecma"] == str(crc64_ecma(part))
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return done


def complete(client, bucket, key, upload, parts):
    return client.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Part": parts}
    )


def test_multipart(client, bucket):
    started = client.create_multipart_upload(
        Bucket=bucket, Key="目录/big", ContentType="video/mp4", StorageClass="STANDARD_IA",
        Metadata={"x-cos-meta-a": "1"},
    )
    assert (started["Bucket"], started["Key"]) == (bucket, "目录/big")
    upload = started["UploadId"]
    assert upload == urllib.parse.quote(upload, safe="")
    assert not client.object_exists(Bucket=bucket, Key="目录/big")
    bodies = [body(MIB, 1), body(2 * MIB + 3, 2), body(10, 3)]
    parts = upload_parts(client, bucket, "目录/big", upload, list(enumerate(bodies, 1)))
    assert keys_of(client.list_objects(Bucket=bucket)) == []
    done = complete(client, bucket, "目录/big", upload, parts)
    whole = b"".join(bodies)
    assert done["ETag"] == multipart_etag(bodies)
    assert done["x-cos-hash-crc64ecma"] == str(crc64_ecma(whole))
    assert (done["Bucket"], done["Key"]) == (bucket, "目录/big")
    assert done["Location"].startswith("http")
    got = client.get_object(Bucket=bucket, Key="目录/big")
    assert read(got) == whole
    assert got["ETag"] == multipart_etag(bodies)
    assert got["x-cos-hash-crc64ecma"] == str(crc64_ecma(whole))
    assert (got["Content-Type"], got["x-cos-meta-a"]) == ("video/mp4", "1")
    assert got["x-cos-storage-class"] == "STANDARD_IA"
    got = client.get_object(Bucket=bucket, Key="目录/big", Range=f"bytes={MIB - 5}-{3 * MIB + 5}")
    assert read(got) == whole[MIB - 5 : 3 * MIB + 6]
    # Finished: the id is unknown from now on.
    for call in (
        lambda: client.list_parts(Bucket=bucket, Key="目录/big", UploadId=upload),
        lambda: client.abort_multipart_upload(Bucket=bucket, Key="目录/big", UploadId=upload),
        lambda: upload_parts(client, bucket, "目录/big", upload, [(1, b"x")]),
    ):
        expect(refused(call), 404, "NoSuchUpload")


def test_part_numbers_with_gaps_and_overwrites(client, bucket):
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    first, second = body(MIB, 1), body(MIB, 2)
    upload_parts(client, bucket, "k", upload, [(3, b"to be replaced")])
    parts = upload_parts(client, bucket, "k", upload, [(3, first), (7, second), (10000, b"end")])
    listed = client.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in listed["Part"]] == [
        ("3", str(MIB), etag(first)),
        ("7", str(MIB), etag(second)),
        ("10000", "3", etag(b"end")),
    ]
    # Parts that are not named in the completion are dropped.
    complete(client, bucket, "k", upload, parts[:2])
    assert read(client.get_object(Bucket=bucket, Key="k")) == first + second


def test_list_parts_in_pages(client, bucket):
    upload = client.create_multipart_upload(Bucket=bucket, Key="k 1", StorageClass="STANDARD_IA")["UploadId"]
    upload_parts(client, bucket, "k 1", upload, [(n, b"%d" % n) for n in range(1, 8)])
    numbers, marker = [], 0
    while True:
        page = client.list_parts(
            Bucket=bucket, Key="k 1", UploadId=upload, MaxParts=3, PartNumberMarker=marker
        )
        assert (page["Key"], page["UploadId"], page["MaxParts"]) == ("k 1", upload, "3")
        assert page["StorageClass"] == "STANDARD_IA"
        assert page["Owner"]["ID"] and page["Initiator"]["ID"]
        numbers += [int(p["PartNumber"]) for p in page["Part"]]
        if page["IsTruncated"] == "false":
            break
        marker = int(page["NextPartNumberMarker"])
    assert numbers == list(range(1, 8))


def test_list_uploads(client, bucket):
    keys = ["a", "dir/x", "dir/y", "d 中"]
    uploads = [(k, client.create_multipart_upload(Bucket=bucket, Key=k)["UploadId"]) for k in keys]
    again = client.create_multipart_upload(Bucket=bucket, Key="dir/x")["UploadId"]
    uploads.append(("dir/x", again))

    def pairs(page):
        return [(u["Key"], u["UploadId"]) for u in page.get("Upload", [])]

    page = client.list_multipart_uploads(Bucket=bucket)
    assert sorted(pairs(page)) == sorted(uploads)
    assert [k for k, _ in pairs(page)] == sorted([k for k, _ in uploads], key=str.encode)
    assert page["Bucket"] == bucket and page["IsTruncated"] == "false"
    first = page["Upload"][0]
    assert first["StorageClass"].upper() == "STANDARD" and first["Initiated"]
    assert first["Owner"]["ID"] and first["Initiator"]["ID"]
    page = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["dir/"]
    assert sorted(k for k, _ in pairs(page)) == ["a", "d 中"]
    page = client.list_multipart_uploads(Bucket=bucket, Prefix="dir/")
    assert sorted(pairs(page)) == sorted(u for u in uploads if u[0].startswith("dir/"))

    seen, key_marker, id_marker = [], "", ""
    while True:
        page = client.list_multipart_uploads(
            Bucket=bucket, KeyMarker=key_marker, UploadIdMarker=id_marker, MaxUploads=2
        )
        assert len(pairs(page)) <= 2
        seen += pairs(page)
        if page["IsTruncated"] == "false":
            break
        key_marker, id_marker = page["NextKeyMarker"], page["NextUploadIdMarker"]
    assert sorted(seen) == sorted(uploads) and len(seen) == len(uploads)

    for key, upload in uploads:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert pairs(client.list_multipart_uploads(Bucket=bucket)) == []


def test_abort_drops_the_parts(client, bucket):
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts = upload_parts(client, bucket, "k", upload, [(1, body(MIB))])
    client.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    expect(refused(client.abort_multipart_upload, Bucket=bucket, Key="k", UploadId=upload), 404, "NoSuchUpload")
    expect(refused(complete, client, bucket, "k", upload, parts), 404, "NoSuchUpload")
    expect(refused(client.list_parts, Bucket=bucket, Key="k", UploadId="f" * 40), 404, "NoSuchUpload")


def test_completion_is_checked(client, bucket):
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    small = upload_parts(client, bucket, "k", upload, [(1, b"small"), (2, b"end")])
    expect(refused(complete, client, bucket, "k", upload, small), 400, "EntityTooSmall")
    big = upload_parts(client, bucket, "k", upload, [(1, body(MIB))]) + small[1:]
    expect(refused(complete, client, bucket, "k", upload, big[::-1]), 400, "InvalidPartOrder")
    expect(refused(complete, client, bucket, "k", upload, [big[0], big[0]]), 400, "InvalidPartOrder")
    stale = [{"PartNumber": 1, "ETag": small[0]["ETag"]}, big[1]]
    expect(refused(complete, client, bucket, "k", upload, stale), 400, "InvalidPart")
    unknown = big + [{"PartNumber": 3, "ETag": big[1]["ETag"]}]
    expect(refused(complete, client, bucket, "k", upload, unknown), 400, "InvalidPart")
    assert not client.object_exists(Bucket=bucket, Key="k")
    # Every refusal has left the upload as it was; ETags count without quotes too.
    bare = [{**p, "ETag": p["ETag"].strip('"')} for p in big]
    complete(client, bucket, "k", upload, bare)
    assert read(client.get_object(Bucket=bucket, Key="k")) == body(MIB) + b"end"


def test_part_numbers_out_of_range(server, client, bucket):
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for number in ("0", "10001", "-1", "one", ""):
        answer = server.cos(
            "PUT", bucket, "k", query={"partNumber": number, "uploadId": upload}, body=b"x"
        )
        assert (answer.status, answer.code()) == (400, "InvalidArgument"), (number, answer)


def test_upload_part_copy(client, bucket):
    data = body(3 * MIB)
    client.put_object(Bucket=bucket, Key="src", Body=data)
    upload = client.create_multipart_upload(Bucket=bucket, Key="dst")["UploadId"]
    call = {"Bucket": bucket, "Key": "dst", "UploadId": upload, "CopySource": source(bucket, "src")}
    one = client.upload_part_copy(**call, PartNumber=1, CopySourceRange=f"bytes=0-{MIB + 9}")
    assert one["ETag"].strip('"') == md5_hex(data[: MIB + 10])
    two = upload_parts(client, bucket, "dst", upload, [(2, data[MIB + 10 : 2 * MIB + 10])])[0]
    three = client.upload_part_copy(**call, PartNumber=3, CopySourceRange=f"bytes={2 * MIB + 10}-{3 * MIB - 1}")
    error = refused(client.upload_part_copy, **call, PartNumber=4, CopySourceRange=f"bytes=5-{3 * MIB}")
    assert error.get_status_code() in (400, 416)
    parts = [{"PartNumber": 1, "ETag": one["ETag"]}, two, {"PartNumber": 3, "ETag": three["ETag"]}]
    done = complete(client, bucket, "dst", upload, parts)
    assert done["x-cos-hash-crc64ecma"] == str(crc64_ecma(data))
    assert read(client.get_object(Bucket=bucket, Key="dst")) == data


@pytest.mark.parametrize("size", [3 * MIB, 64 * MIB + 11])
def test_upload_and_download_file(client, bucket, tmp_path, size):
    data = body(size)
    local, back = tmp_path / "up", tmp_path / "down"
    local.write_bytes(data)
    client.upload_file(
        Bucket=bucket, Key="file", LocalFilePath=str(local), PartSize=2, MAXThread=6, EnableMD5=True
    )
    client.download_file(
        Bucket=bucket, Key="file", DestFilePath=str(back), PartSize=3, MAXThread=6,
        EnableCRC=True, DumpRecordDir=str(tmp_path / "record"),
    )
    assert back.read_bytes() == data


def test_resumed_upload_keeps_matching_parts(client, bucket, tmp_path):
    data = body(5 * MIB)
    local = tmp_path / "up"
    local.write_bytes(data)
    upload = client.create_multipart_upload(Bucket=bucket, Key="file")["UploadId"]
    upload_parts(client, bucket, "file", upload, [(2, data[MIB : 2 * MIB]), (4, data[3 * MIB : 4 * MIB])])
    sent = []
    real = client.upload_part
    client.upload_part = lambda *args, **kwargs: (sent.append(args[3]), real(*args, **kwargs))[1]
    client.upload_file(Bucket=bucket, Key="file", LocalFilePath=str(local), PartSize=1)
    assert sorted(sent) == [1, 3, 5]
    assert read(client.get_object(Bucket=bucket, Key="file")) == data
    assert "Upload" not in client.list_multipart_uploads(Bucket=bucket)


# -- keys ------------------------------------------------------------------------

ODD_KEYS = [
    " leading and trailing ",
    "a//b///c",
    "plus+percent%25%zz?question#hash&amp;=;,:@!$'()*[]\"<>\\|^`{}~",
    "./dot/../dots",
    "中文/路径/文件.txt",
    "😀/🎉.bin",
    "tab\tand\u00a0nbsp",
    "e\u0301 vs \u00e9",
    "é" * 425,
    "x" * 850,
    "q-sign-algorithm=sha1&uploads",
    "%2F%2f",
    "trailing/",
]


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_odd_keys(client, bucket, key):
    client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(client.get_object(Bucket=bucket, Key=key, KeySimplifyCheck=False)) == key.encode()
    assert client.head_object(Bucket=bucket, Key=key)["ETag"] == etag(key.encode())
    assert keys_of(client.list_objects(Bucket=bucket)) == [key]
    client.copy_object(Bucket=bucket, Key="copy of", CopySource=source(bucket, key))
    assert read(client.get_object(Bucket=bucket, Key="copy of")) == key.encode()
    url = client.get_presigned_url(Bucket=bucket, Key=key, Method="GET")
    assert requests.get(url).content == key.encode()
    client.delete_object(Bucket=bucket, Key=key)
    assert not client.object_exists(Bucket=bucket, Key=key)


def test_leading_slash_as_the_sdk_strips_it(client, bucket):
    # The SDK drops one leading slash from the URL and signs the same path.
    client.put_object(Bucket=bucket, Key="/lead", Body=b"x")
    assert keys_of(client.list_objects(Bucket=bucket)) == ["lead"]
    assert read(client.get_object(Bucket=bucket, Key="lead")) == b"x"


def test_leading_slash_on_the_wire(server, client, bucket):
    # `//lead` is the key `/lead`, whichever of the two paths was signed.
    assert server.cos("PUT", bucket, "/lead", body=b"slash").status == 200
    assert keys_of(client.list_objects(Bucket=bucket)) == ["/lead"]
    assert server.cos("GET", bucket, "/lead").body == b"slash"
    assert server.cos("GET", bucket, "lead").status == 404


def test_key_too_long(client, bucket):
    for key in ("x" * 851, "é" * 426):
        expect(refused(client.put_object, Bucket=bucket, Key=key, Body=b"x"), 400, "KeyTooLong")
    assert keys_of(client.list_objects(Bucket=bucket)) == []


# -- signatures ------------------------------------------------------------------


def test_presigned(client, bucket):
    url = client.get_presigned_url(Bucket=bucket, Key="k", Method="PUT")
    put = requests.put(url, data=b"presigned")
    assert put.status_code == 200, put.text
    url = client.get_presigned_download_url(Bucket=bucket, Key="k")
    assert requests.get(url).content == b"presigned"
    assert requests.put(url, data=b"x").status_code == 403
    tampered = url.replace("q-signature=", "q-signature=0")
    refusal = requests.get(tampered)
    assert refusal.status_code == 403 and "<Code>SignatureDoesNotMatch</Code>" in refusal.text
    raw = url.replace("%3B", ";")
    assert requests.get(raw).content == b"presigned"
    unsigned_host = client.get_presigned_url(Bucket=bucket, Key="k", Method="GET", SignHost=False)
    assert requests.get(unsigned_host).content == b"presigned"


def test_presigned_with_the_signature_in_one_parameter(server, client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"merged")
    host = f"{harness.host_of(bucket)}:{server.port}"
    whole = client.get_auth(Method="GET", Bucket=bucket, Key="k")
    url = f"http://{host}/k?sign={urllib.parse.quote(whole, safe='')}"
    assert requests.get(url).content == b"merged"


def test_presigned_for_fifty_years(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = client.get_presigned_url(Bucket=bucket, Key="k", Method="GET", Expired=50 * 365 * 86400)
    assert requests.get(url).content == b"x"


def test_expired(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = client.get_presigned_url(Bucket=bucket, Key="k", Method="GET", Expired=1)
    time.sleep(2.1)
    refusal = requests.get(url)
    assert refusal.status_code == 403
    assert "<Code>AccessDenied</Code>" in refusal.text
    assert "<Message>Request has expired</Message>" in refusal.text
    assert refusal.headers["Date"]


def test_window_not_begun_or_senseless(server, bucket):
    now = int(time.time())
    for window in ((now + 7200, now + 9000), (now, now - 10), (now - 10, "soon"), ("", "")):
        answer = server.cos("GET", bucket, window=window)
        assert answer.status == 403, (window, answer)
        assert answer.code() in ("AccessDenied", "RequestTimeTooSkewed", "SignatureDoesNotMatch"), answer


def test_response_overrides(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain", CacheControl="no-store")
    got = client.get_object(
        Bucket=bucket, Key="k",
        ResponseContentType="image/jpeg",
        ResponseContentLanguage="en",
        ResponseExpires="Wed, 21 Oct 2037 07:28:00 GMT",
        ResponseCacheControl="no-cache",
        ResponseContentDisposition='attachment; filename="中.txt"'.encode().decode("latin-1"),
        ResponseContentEncoding="identity",
    )
    assert got["Content-Type"] == "image/jpeg"
    assert got["Content-Language"] == "en"
    assert got["Expires"] == "Wed, 21 Oct 2037 07:28:00 GMT"
    assert got["Cache-Control"] == "no-cache"
    assert got["Content-Disposition"].startswith("attachment")
    head = client.head_object(Bucket=bucket, Key="k")
    assert (head["Content-Type"], head["Cache-Control"]) == ("text/plain", "no-store")
    url = client.get_presigned_url(
        Bucket=bucket, Key="k", Method="GET", Params={"response-content-disposition": "attachment"}
    )
    assert requests.get(url).headers["Content-Disposition"] == "attachment"


def test_response_overrides_need_a_signature(server, client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = server.cos(
        "GET", bucket, "k", query={"response-content-type": "text/html"}, sign=False
    )
    assert 400 <= answer.status < 500, answer
    # Signed, if not over the parameter, which the vendor's documents have people append.
    url = client.get_presigned_url(Bucket=bucket, Key="k", Method="GET")
    shown = requests.get(url + "&response-content-type=text/html")
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "text/html")
    # What makes another request of it has to be signed.
    assert requests.get(url + "&versionId=null").status_code == 403
    assert requests.get(url + "&acl").status_code == 403


def test_strangers_are_refused(server, client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    nobody = CosS3Client(
        CosConfig(Endpoint=f"{harness.ENDPOINT}:{server.port}", Scheme="http", Anonymous=True), retry=0
    )
    wrong_secret = make_client(server, secret_key="x" * 32)
    foreign = make_client(server, secret_id="AKID" + "z" * 32)
    for stranger, code in (
        (nobody, "AccessDenied"),
        (wrong_secret, "SignatureDoesNotMatch"),
        (foreign, "InvalidAccessKeyId"),
    ):
        expect(refused(stranger.get_object, Bucket=bucket, Key="k"), 403, code)
        expect(refused(stranger.put_object, Bucket=bucket, Key="k", Body=b"y"), 403, code)
        expect(refused(stranger.list_objects, Bucket=bucket), 403, code)
        # What does not exist is no secret's business either.
        expect(refused(stranger.get_object, Bucket=f"nowhere-{harness.APPID}", Key="k"), 403, code)
    assert read(client.get_object(Bucket=bucket, Key="k")) == b"x"


# -- form upload -----------------------------------------------------------------


def form(key_time=None, conditions=(), expires_in=3600, secret_key=harness.SECRET_KEY, **fields):
    """The fields of a signed POST form."""
    now = int(time.time())
    key_time = key_time or f"{now - 60};{now + 3600}"
    expiration = datetime.fromtimestamp(now + expires_in, timezone.utc)
    policy = json.dumps(
        {
            "expiration": expiration.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "conditions": [
                {"q-sign-algorithm": "sha1"},
                {"q-ak": harness.SECRET_ID},
                {"q-sign-time": key_time},
                *conditions,
            ],
        }
    )
    sign_key = hmac.new(secret_key.encode(), key_time.encode(), "sha1").hexdigest()
    digest = hashlib.sha1(policy.encode()).hexdigest()
    return {
        **fields,
        "policy": base64.b64encode(policy.encode()).decode(),
        "q-sign-algorithm": "sha1",
        "q-ak": harness.SECRET_ID,
        "q-key-time": key_time,
        "q-signature": hmac.new(sign_key.encode(), digest.encode(), "sha1").hexdigest(),
    }


def post(server, bucket, fields, data=b"form body", filename="up load.txt"):
    return requests.post(
        f"http://{harness.host_of(bucket)}:{server.port}/",
        data=fields,
        files={"file": (filename, data, "application/x-ignored")},
        allow_redirects=False,
    )


def test_form_upload(server, client, bucket):
    fields = form(
        key="forms/${filename}",
        **{"Content-Type": "text/plain", "x-cos-meta-a": "1", "x-cos-storage-class": "STANDARD_IA"},
    )
    done = post(server, bucket, fields)
    assert done.status_code == 204, done.text
    assert done.headers["ETag"] == etag(b"form body")
    assert done.headers["Location"].endswith("/forms/up%20load.txt")
    got = client.get_object(Bucket=bucket, Key="forms/up load.txt")
    assert read(got) == b"form body"
    assert (got["Content-Type"], got["x-cos-meta-a"]) == ("text/plain", "1")
    assert got["x-cos-storage-class"] == "STANDARD_IA"


def test_form_upload_answers(server, client, bucket):
    done = post(server, bucket, form(key="a", success_action_status="200"))
    assert (done.status_code, done.content) == (200, b"")
    done = post(server, bucket, form(key="b", success_action_status="201"))
    assert done.status_code == 201 and "<Key>b</Key>" in done.text
    done = post(server, bucket, form(key="c", success_action_redirect="http://example.test/ok"))
    assert done.status_code == 303
    assert done.headers["Location"].startswith("http://example.test/ok?")
    assert f"bucket={bucket}" in done.headers["Location"] and "key=c" in done.headers["Location"]
    assert keys_of(client.list_objects(Bucket=bucket)) == ["a", "b", "c"]


def test_form_upload_of_many_megabytes(server, client, bucket):
    data = body(20 * MIB)
    assert post(server, bucket, form(key="big"), data).status_code == 204
    assert read(client.get_object(Bucket=bucket, Key="big")) == data


def test_form_conditions(server, client, bucket):
    good = [
        {"bucket": bucket},
        ["starts-with", "$key", "dir/"],
        ["eq", "$Content-Type", "text/plain"],
        ["starts-with", "$x-cos-meta-a", ""],
        ["content-length-range", 1, 20],
    ]
    fields = {"key": "dir/k", "Content-Type": "text/plain", "x-cos-meta-a": "any"}
    done = post(server, bucket, form(conditions=good, **fields))
    assert done.status_code == 204, done.text
    for wrong, code in (
        ({**fields, "key": "other/k"}, "AccessDenied"),
        ({**fields, "Content-Type": "text/html"}, "AccessDenied"),
        ({k: v for k, v in fields.items() if k != "x-cos-meta-a"}, "AccessDenied"),
    ):
        done = post(server, bucket, form(conditions=good, **{**wrong, "key": wrong["key"] + "2"}))
        assert done.status_code == 403 and f"<Code>{code}</Code>" in done.text, (wrong, done.text)
    done = post(server, bucket, form(conditions=good, **{**fields, "key": "dir/long"}), b"x" * 21)
    assert done.status_code == 400 and "EntityTooLarge" in done.text, done.text
    done = post(server, bucket, form(conditions=good, **{**fields, "key": "dir/short"}), b"")
    assert done.status_code == 400 and "EntityTooSmall" in done.text, done.text
    elsewhere = [{"bucket": f"other-{harness.APPID}"}]
    done = post(server, bucket, form(conditions=elsewhere, key="dir/else"))
    assert done.status_code == 403
    assert keys_of(client.list_objects(Bucket=bucket)) == ["dir/k"]


def test_form_signature(server, client, bucket):
    done = post(server, bucket, form(key="k", secret_key="y" * 32))
    assert done.status_code == 403 and "SignatureDoesNotMatch" in done.text
    done = post(server, bucket, form(key="k", expires_in=-10))
    assert done.status_code == 403 and "expired" in done.text
    now = int(time.time())
    done = post(server, bucket, form(key="k", key_time=f"{now - 100};{now - 50}"))
    assert done.status_code == 403
    done = post(server, bucket, {"key": "k"})
    assert done.status_code == 403 and "AccessDenied" in done.text
    done = post(server, bucket, {**form(key="k"), "policy": "bm90IGpzb24="})
    assert done.status_code in (400, 403)
    assert keys_of(client.list_objects(Bucket=bucket)) == []


def test_form_shape(server, client, bucket):
    url = f"http://{harness.host_of(bucket)}:{server.port}/"
    two = [("file", ("a", b"1")), ("file", ("b", b"2"))]
    done = requests.post(url, data=form(key="k"), files=two)
    assert done.status_code == 400 and "IncorrectNumberOfFilesInPostRequest" in done.text, done.text
    nothing = [(name, (None, value)) for name, value in form(key="k").items()]
    done = requests.post(url, files=nothing)
    assert done.status_code == 400, done.text
    done = requests.post(url, data=b"junk", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert done.status_code == 400 and "MalformedPOSTRequest" in done.text, done.text
    assert keys_of(client.list_objects(Bucket=bucket)) == []


# -- what is not there yet ---------------------------------------------------------


def test_what_is_not_implemented_says_so(client, bucket):
    calls = [
        lambda: client.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256"),
    ]
    for number, call in enumerate(calls):
        error = refused(call)
        assert (number, error.get_status_code(), error.get_error_code()) == (number, 501, "NotImplemented")
    assert not client.object_exists(Bucket=bucket, Key="k")


def test_a_client_without_retries_sees_the_server(client):
    with pytest.raises(CosClientError):
        client.get_object(Bucket=f"b-{harness.APPID}", Key="")
