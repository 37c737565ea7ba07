"""minio-py against the server."""

import io
from datetime import timedelta

import pytest
import requests
import urllib3
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource, Tags
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

import harness
import trees
from checksums import body
from conftest import bucket_name

MIB = 1024 * 1024


@pytest.fixture(params=["path", "virtual"])
def client(server, request):
    host = "127.0.0.1" if request.param == "path" else harness.ENDPOINT
    client = Minio(
        f"{host}:{server.port}",
        access_key=harness.SECRET_ID,
        secret_key=harness.SECRET_KEY,
        secure=False,
        region=harness.REGION,
        http_client=urllib3.PoolManager(retries=False),
    )
    if request.param == "virtual":
        client.enable_virtual_style_endpoint()
    return client


def read(client, bucket, key, **kwargs):
    response = client.get_object(bucket_name=bucket, object_name=key, **kwargs)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def put(client, bucket, key, data, **kwargs):
    return client.put_object(
        bucket_name=bucket, object_name=key, data=io.BytesIO(data), length=len(data), **kwargs
    )


def names(client, bucket, **kwargs):
    return [o.object_name for o in client.list_objects(bucket_name=bucket, **kwargs)]


def test_bucket_life(client):
    name = bucket_name()
    assert not client.bucket_exists(bucket_name=name)
    client.make_bucket(bucket_name=name)
    assert client.bucket_exists(bucket_name=name)
    assert name in [b.name for b in client.list_buckets()]
    client.remove_bucket(bucket_name=name)
    assert not client.bucket_exists(bucket_name=name)


@pytest.mark.parametrize("size", [0, 1, 100_000, 17 * MIB + 3])
def test_put_stat_get(client, bucket, size):
    data = body(size)
    put(client, bucket, "dir/k +中", data, metadata={"a": "1"}, content_type="text/x")
    stat = client.stat_object(bucket_name=bucket, object_name="dir/k +中")
    assert stat.size == size and stat.content_type == "text/x"
    assert stat.metadata["x-amz-meta-a"] == "1"
    assert read(client, bucket, "dir/k +中") == data
    if size > 10:
        assert read(client, bucket, "dir/k +中", offset=5, length=7) == data[5:12]


def test_stream_of_unknown_length(client, bucket):
    data = body(12 * MIB + 1)
    client.put_object(
        bucket_name=bucket, object_name="k", data=io.BytesIO(data), length=-1, part_size=5 * MIB
    )
    assert read(client, bucket, "k") == data


def test_list_and_remove(client, bucket):
    keys = ["a/1", "a/2", "b", "中/文", " s p "]
    for key in keys:
        put(client, bucket, key, b"x")
    assert names(client, bucket, recursive=True) == sorted(keys, key=str.encode)
    assert sorted(names(client, bucket)) == [" s p ", "a/", "b", "中/"]
    assert names(client, bucket, prefix="a/", recursive=True, use_api_v1=True) == ["a/1", "a/2"]
    gone = [DeleteObject(k) for k in ("a/1", "missing", "中/文")]
    assert list(client.remove_objects(bucket_name=bucket, delete_object_list=gone)) == []
    client.remove_object(bucket_name=bucket, object_name="b")
    assert names(client, bucket, recursive=True) == [" s p ", "a/2"]


def test_copy_and_compose(client, bucket):
    put(client, bucket, "one", body(5 * MIB))
    put(client, bucket, "two", body(100))
    client.copy_object(
        bucket_name=bucket, object_name="copied", source=CopySource(bucket, "two"),
        metadata={"b": "2"}, metadata_directive=REPLACE,
    )
    assert read(client, bucket, "copied") == body(100)
    client.compose_object(
        bucket_name=bucket, object_name="both",
        sources=[ComposeSource(bucket, "one"), ComposeSource(bucket, "two")],
    )
    assert read(client, bucket, "both") == body(5 * MIB) + body(100)


def test_files(client, bucket, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    files = trees.make(up, seed=13, small=60, large=[20 * MIB])
    for path in files:
        client.fput_object(bucket_name=bucket, object_name=path, file_path=str(up / path))
    for key in names(client, bucket, recursive=True):
        client.fget_object(bucket_name=bucket, object_name=key, file_path=str(down / key))
    trees.same(up, down)


def test_presigned_and_policy(client, bucket):
    url = client.presigned_put_object(bucket_name=bucket, object_name="k k", expires=timedelta(minutes=1))
    assert requests.put(url, data=b"by url").status_code == 200
    url = client.presigned_get_object(bucket_name=bucket, object_name="k k")
    assert requests.get(url).content == b"by url"
    from datetime import datetime, timezone

    policy = PostPolicy(bucket, datetime.now(timezone.utc) + timedelta(minutes=5))
    policy.add_starts_with_condition("$key", "up/")
    policy.add_content_length_range_condition(1, 100)
    fields = client.presigned_post_policy(policy)
    fields["key"] = "up/x"
    base = url.split("/k%20k")[0]
    done = requests.post(f"{base}/", data=fields, files={"file": b"form"})
    assert done.status_code == 204, done.text
    assert read(client, bucket, "up/x") == b"form"


def test_errors(client, bucket):
    with pytest.raises(S3Error) as caught:
        client.get_object(bucket_name=bucket, object_name="missing")
    assert caught.value.code == "NoSuchKey"
    assert caught.value.request_id


def test_tags(client, bucket):
    tags = Tags.new_object_tags()
    tags["colour"] = "blue"
    where = {"bucket_name": bucket, "object_name": "k"}
    put(client, bucket, "k", b"data", tags=tags)
    assert client.get_object_tags(**where) == tags
    tags["页"] = "a/b"
    client.set_object_tags(**where, tags=tags)
    assert client.get_object_tags(**where) == tags
    client.delete_object_tags(**where)
    assert client.get_object_tags(**where) is None
    of_bucket = Tags.new_bucket_tags()
    of_bucket["a"] = "1"
    client.set_bucket_tags(bucket_name=bucket, tags=of_bucket)
    assert client.get_bucket_tags(bucket_name=bucket) == of_bucket
    client.delete_bucket_tags(bucket_name=bucket)
    assert client.get_bucket_tags(bucket_name=bucket) is None
