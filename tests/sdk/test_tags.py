"""Tags of objects, versions and buckets, through both vendors' SDKs."""

import requests

from test_boto3 import refused as aws_refused
from test_cos_python import expect, source
from test_cos_python import refused as cos_refused

TAGS = [{"Key": "colour", "Value": "blue"}, {"Key": "页 a/b", "Value": "+-=._:/@"}]


def aws_tags(client, bucket, key, **more):
    return client.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]


def cos_tags(client, bucket, key, **more):
    found = client.get_object_tagging(Bucket=bucket, Key=key, **more)
    return ((found.get("TagSet") or {}).get("Tag")) or []


def test_objects_in_both_dialects(aws, cos, bucket):
    aws.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert aws_tags(aws, bucket, "k") == [] and cos_tags(cos, bucket, "k") == []
    aws.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": TAGS})
    assert aws_tags(aws, bucket, "k") == TAGS and cos_tags(cos, bucket, "k") == TAGS
    assert aws.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    assert cos.head_object(Bucket=bucket, Key="k")["x-cos-tagging-count"] == "2"
    cos.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": {"Tag": TAGS[:1]}})
    assert aws_tags(aws, bucket, "k") == TAGS[:1]
    cos.delete_object_tagging(Bucket=bucket, Key="k")
    assert aws_tags(aws, bucket, "k") == []
    assert aws_refused(aws.get_object_tagging, Bucket=bucket, Key="x") == (404, "NoSuchKey")
    expect(cos_refused(cos.get_object_tagging, Bucket=bucket, Key="x"), 404, "NoSuchKey")


def test_tags_of_what_is_made(aws, cos, bucket):
    aws.put_object(Bucket=bucket, Key="s3", Body=b"data", Tagging="colour=blue")
    cos.put_object(Bucket=bucket, Key="cos", Body=b"data", Tagging="colour=blue")
    for key in ("s3", "cos"):
        assert aws_tags(aws, bucket, key) == TAGS[:1]
        named = {"Bucket": bucket, "Key": key}
        aws.copy_object(Bucket=bucket, Key="kept", CopySource=named)
        assert aws_tags(aws, bucket, "kept") == TAGS[:1]
        aws.copy_object(Bucket=bucket, Key="new", CopySource=named, TaggingDirective="REPLACE", Tagging="a=1")
        assert aws_tags(aws, bucket, "new") == [{"Key": "a", "Value": "1"}]
        cos.copy_object(Bucket=bucket, Key="cos-copy", CopySource=source(bucket, key))
        assert cos_tags(cos, bucket, "cos-copy") == TAGS[:1]
    upload = aws.create_multipart_upload(Bucket=bucket, Key="parts", Tagging="a=1&b=2")["UploadId"]
    where = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    etag = aws.upload_part(**where, PartNumber=1, Body=b"part")["ETag"]
    aws.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert [t["Key"] for t in aws_tags(aws, bucket, "parts")] == ["a", "b"]


def test_tags_in_a_form(aws, bucket):
    document = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    post = aws.generate_presigned_post(
        bucket, "k", Fields={"tagging": document}, Conditions=[["starts-with", "$tagging", ""]])
    done = requests.post(post["url"], data=post["fields"], files={"file": b"data"})
    assert done.status_code == 204, done.text
    assert aws_tags(aws, bucket, "k") == [{"Key": "a", "Value": "1"}]
    wrong = {**post["fields"], "tagging": "nonsense"}
    done = requests.post(post["url"], data=wrong, files={"file": b"data"})
    assert done.status_code == 400 and "MalformedXML" in done.text


def test_tags_in_a_presigned_url(aws, bucket):
    url = aws.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k", "Tagging": "a=1"})
    done = requests.put(url, data=b"data", headers={"x-amz-tagging": "a=1"})
    assert done.status_code == 200, done.text
    assert aws_tags(aws, bucket, "k") == [{"Key": "a", "Value": "1"}]


def test_tags_of_versions(aws, cos, bucket):
    cos.put_bucket_versioning(Bucket=bucket, Status="Enabled")
    first = aws.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    aws.put_object(Bucket=bucket, Key="k", Body=b"2")
    put = aws.put_object_tagging(Bucket=bucket, Key="k", VersionId=first, Tagging={"TagSet": TAGS})
    assert put["VersionId"] == first
    assert aws_tags(aws, bucket, "k") == [] and aws_tags(aws, bucket, "k", VersionId=first) == TAGS
    assert cos_tags(cos, bucket, "k", VersionId=first) == TAGS
    cos.delete_object_tagging(Bucket=bucket, Key="k", VersionId=first)
    assert aws_tags(aws, bucket, "k", VersionId=first) == []


def test_buckets(aws, cos, bucket):
    assert aws_refused(aws.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    aws.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": TAGS})
    assert aws.get_bucket_tagging(Bucket=bucket)["TagSet"] == TAGS
    assert cos.get_bucket_tagging(Bucket=bucket)["TagSet"]["Tag"] == TAGS
    cos.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": {"Tag": TAGS[:1]}})
    assert aws.get_bucket_tagging(Bucket=bucket)["TagSet"] == TAGS[:1]
    cos.delete_bucket_tagging(Bucket=bucket)
    expect(cos_refused(cos.get_bucket_tagging, Bucket=bucket), 404, "NoSuchTagSet")


def test_limits(aws, cos, bucket):
    aws.put_object(Bucket=bucket, Key="k", Body=b"data", Tagging="kept=1")
    bad = [
        [{"Key": f"k{n}", "Value": ""} for n in range(11)],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}],
        [{"Key": "k", "Value": "<&>"}],
    ]
    for tags in bad:
        put = {"Bucket": bucket, "Key": "k"}
        assert aws_refused(aws.put_object_tagging, **put, Tagging={"TagSet": tags}) == (400, "InvalidTag")
        expect(cos_refused(cos.put_object_tagging, **put, Tagging={"TagSet": {"Tag": tags}}), 400, "InvalidTag")
    assert aws_tags(aws, bucket, "k") == [{"Key": "kept", "Value": "1"}]
    tags = [{"Key": f"k{n}", "Value": "v"} for n in range(51)]
    assert aws_refused(aws.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": tags}) == (400, "InvalidTag")
