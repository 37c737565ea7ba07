"""Buckets that keep versions, through both vendors' SDKs."""

import pytest

from checksums import body
from test_boto3 import read as aws_read
from test_boto3 import refused as aws_refused
from test_cos_python import expect, source
from test_cos_python import read as cos_read
from test_cos_python import refused as cos_refused


def enable(aws, bucket, status="Enabled"):
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def shown(page):
    """(key, version, latest, marker) of an S3 page, in no order."""
    versions = [(v["Key"], v["VersionId"], v["IsLatest"], False) for v in page.get("Versions", [])]
    markers = [(m["Key"], m["VersionId"], m["IsLatest"], True) for m in page.get("DeleteMarkers", [])]
    return sorted(versions + markers)


def all_versions(aws, bucket, **more):
    pages = aws.get_paginator("list_object_versions").paginate(Bucket=bucket, **more)
    return sorted(entry for page in pages for entry in shown(page))


def test_configuration(aws, cos, bucket):
    assert "Status" not in aws.get_bucket_versioning(Bucket=bucket)
    assert "Status" not in (cos.get_bucket_versioning(Bucket=bucket) or {})
    cos.put_bucket_versioning(Bucket=bucket, Status="Enabled")
    assert aws.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    enable(aws, bucket, "Suspended")
    assert cos.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    assert aws_refused(enable, aws, bucket, "Off") == (400, "MalformedXML")
    assert cos.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


@pytest.mark.parametrize("size", [0, 700, 3_000_000])
def test_life_of_versions_in_s3(aws, bucket, size):
    old = aws.put_object(Bucket=bucket, Key="k", Body=body(size + 1))
    assert "VersionId" not in old
    enable(aws, bucket)
    datas = {"null": body(size + 1)}
    for n in range(3):
        data = body(size) + bytes([n])
        put = aws.put_object(Bucket=bucket, Key="k", Body=data)
        datas[put["VersionId"]] = data
    for version, data in datas.items():
        got = aws.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert (got["Body"].read(), got["VersionId"]) == (data, version)
        head = aws.head_object(Bucket=bucket, Key="k", VersionId=version)
        assert (head["ContentLength"], head["VersionId"]) == (len(data), version)
        part = aws.get_object(Bucket=bucket, Key="k", VersionId=version, Range="bytes=-1")
        assert part["Body"].read() == data[-1:]
        attributes = aws.get_object_attributes(
            Bucket=bucket, Key="k", VersionId=version, ObjectAttributes=["ObjectSize"])
        assert (attributes["ObjectSize"], attributes["VersionId"]) == (len(data), version)
    gone = aws.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"]
    assert aws_refused(aws.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    marker = gone["VersionId"]
    assert aws_refused(aws.get_object, Bucket=bucket, Key="k", VersionId=marker) == (405, "MethodNotAllowed")
    page = aws.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in page["Versions"]] == [*reversed([*datas][1:]), "null"]
    assert [(m["VersionId"], m["IsLatest"]) for m in page["DeleteMarkers"]] == [(marker, True)]
    assert "Contents" not in aws.list_objects_v2(Bucket=bucket)
    gone = aws.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker)
    assert aws_read(aws, bucket, "k") == [*datas.values()][-1]
    objects = [{"Key": "k", "VersionId": version} for version in datas]
    deleted = aws.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert sorted(d["VersionId"] for d in deleted["Deleted"]) == sorted(datas)
    assert all_versions(aws, bucket) == []
    aws.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize("size", [0, 700, 3_000_000])
def test_life_of_versions_in_cos(cos, bucket, size):
    cos.put_object(Bucket=bucket, Key="k", Body=body(size + 1))
    cos.put_bucket_versioning(Bucket=bucket, Status="Enabled")
    datas = {"null": body(size + 1)}
    for n in range(3):
        data = body(size) + bytes([n])
        put = cos.put_object(Bucket=bucket, Key="k", Body=data)
        datas[put["x-cos-version-id"]] = data
    for version, data in datas.items():
        got = cos.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert (cos_read(got), got["x-cos-version-id"]) == (data, version)
        head = cos.head_object(Bucket=bucket, Key="k", VersionId=version)
        assert head["x-cos-version-id"] == version
    gone = cos.delete_object(Bucket=bucket, Key="k")
    assert gone["x-cos-delete-marker"] == "true"
    marker = gone["x-cos-version-id"]
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="k"), 404, "NoSuchKey")
    page = cos.list_objects_versions(Bucket=bucket)
    assert [v["VersionId"] for v in page["Version"]] == [*reversed([*datas][1:]), "null"]
    assert [(m["VersionId"], m["IsLatest"]) for m in page["DeleteMarker"]] == [(marker, "true")]
    gone = cos.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert (gone["x-cos-delete-marker"], gone["x-cos-version-id"]) == ("true", marker)
    deleted = cos.delete_objects(
        Bucket=bucket, Delete={"Object": [{"Key": "k", "VersionId": version} for version in datas]})
    assert sorted(d["VersionId"] for d in deleted["Deleted"]) == sorted(datas)
    cos.delete_bucket(Bucket=bucket)


def test_suspension(aws, cos, bucket):
    enable(aws, bucket)
    kept = aws.put_object(Bucket=bucket, Key="k", Body=b"kept")["VersionId"]
    enable(aws, bucket, "Suspended")
    # S3's answers to writes name no version then.
    assert "VersionId" not in aws.put_object(Bucket=bucket, Key="k", Body=b"null 1")
    assert aws.get_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    assert cos.put_object(Bucket=bucket, Key="k", Body=b"null 2")["x-cos-version-id"] == "null"
    assert all_versions(aws, bucket) == sorted([("k", "null", True, False), ("k", kept, False, False)])
    gone = aws.delete_object(Bucket=bucket, Key="k")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    assert all_versions(aws, bucket) == sorted([("k", "null", True, True), ("k", kept, False, False)])
    aws.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert aws_read(aws, bucket, "k") == b"kept"


def test_across_dialects(aws, cos, bucket):
    enable(aws, bucket)
    first = aws.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    second = cos.put_object(Bucket=bucket, Key="k", Body=b"second")["x-cos-version-id"]
    assert cos_read(cos.get_object(Bucket=bucket, Key="k", VersionId=first)) == b"first"
    assert aws_read(aws, bucket, "k", VersionId=second) == b"second"
    listed = [v["VersionId"] for v in cos.list_objects_versions(Bucket=bucket)["Version"]]
    assert listed == [second, first]
    # The older one back on top, by the other dialect.
    copied = cos.copy_object(
        Bucket=bucket, Key="k", CopySource={**source(bucket, "k"), "VersionId": first})
    assert copied["ETag"]
    assert aws_read(aws, bucket, "k") == b"first"
    marker = cos.delete_object(Bucket=bucket, Key="k")["x-cos-version-id"]
    assert aws.delete_object(Bucket=bucket, Key="k", VersionId=marker)["DeleteMarker"]
    assert cos_read(cos.get_object(Bucket=bucket, Key="k")) == b"first"


def test_lists_in_pages(aws, cos, bucket):
    keys = ["dir/a", "dir/b", "k +%中", "z"]
    enable(aws, bucket)
    for key in keys * 3:
        aws.put_object(Bucket=bucket, Key=key, Body=b"data")
    for key in keys[::2]:
        aws.delete_object(Bucket=bucket, Key=key)
    whole = shown(aws.list_object_versions(Bucket=bucket))
    assert len(whole) == 14 and len([v for v in whole if v[2]]) == 4
    for size in (1, 2, 3, 5, 14):
        assert all_versions(aws, bucket, PaginationConfig={"PageSize": size}) == whole
    rolled = aws.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["dir/"]
    assert {v[0] for v in shown(rolled)} == {"k +%中", "z"}
    seen, markers = [], {}
    while True:
        page = cos.list_objects_versions(Bucket=bucket, MaxKeys=3, **markers)
        for kind in ("Version", "DeleteMarker"):
            seen += [(v["Key"], v["VersionId"], v["IsLatest"] == "true", kind == "DeleteMarker")
                     for v in page.get(kind, [])]
        if page["IsTruncated"] == "false":
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert sorted(seen) == whole


def test_multipart_and_copies(aws, bucket):
    enable(aws, bucket)
    part = body(5 * 1024 * 1024)
    upload = aws.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    one = aws.upload_part(**where, PartNumber=1, Body=part)["ETag"]
    two = aws.upload_part(**where, PartNumber=2, Body=b"tail")["ETag"]
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    done = aws.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    version = done["VersionId"]
    aws.put_object(Bucket=bucket, Key="k", Body=b"newer")
    assert aws_read(aws, bucket, "k", VersionId=version) == part + b"tail"
    assert aws_read(aws, bucket, "k", VersionId=version, PartNumber=2) == b"tail"
    named = {"Bucket": bucket, "Key": "k", "VersionId": version}
    copied = aws.copy_object(Bucket=bucket, Key="copy", CopySource=named)
    assert copied["CopySourceVersionId"] == version and copied["VersionId"]
    assert aws_read(aws, bucket, "copy") == part + b"tail"
    aws.delete_object(Bucket=bucket, Key="k", VersionId=version)
    assert aws_refused(aws.get_object, Bucket=bucket, Key="k", VersionId=version) == (404, "NoSuchVersion")
    assert aws_read(aws, bucket, "k") == b"newer"


def test_conditions_look_at_the_current_version(aws, bucket):
    enable(aws, bucket)
    first = aws.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    assert aws_refused(aws.put_object, Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*")[0] == 412
    second = aws.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=first["ETag"])
    assert aws_refused(aws.delete_object, Bucket=bucket, Key="k", IfMatch=first["ETag"])[0] == 412
    aws.delete_object(Bucket=bucket, Key="k", IfMatch=second["ETag"])
    aws.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")
    assert len(all_versions(aws, bucket)) == 4


def test_what_cannot_be(aws, cos, bucket):
    enable(aws, bucket)
    version = aws.put_object(Bucket=bucket, Key="k", Body=b"data")["VersionId"]
    assert aws_refused(aws.get_object, Bucket=bucket, Key="k", VersionId="x") == (400, "InvalidArgument")
    assert aws_refused(aws.get_object, Bucket=bucket, Key="other", VersionId=version) == (404, "NoSuchVersion")
    assert aws_refused(aws.get_object, Bucket=bucket, Key="k", VersionId="null") == (404, "NoSuchVersion")
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="k", VersionId="x"), 404, "NoSuchVersion")
    refused = cos_refused(cos.append_object, Bucket=bucket, Key="a", Position=0, Data=b"x")
    expect(refused, 409, "InvalidBucketState")
    assert aws_refused(aws.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    aws.delete_object(Bucket=bucket, Key="k")
    assert aws_refused(aws.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    assert aws_read(aws, bucket, "k", VersionId=version) == b"data"
