"""Policies of buckets through both vendors' SDKs, each seen from the other side."""

import io
import json
import ssl

import pytest
import requests
import urllib3
from botocore.exceptions import ClientError

import cosclient
import harness
import s3client
from authority import Authority
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import read as cos_read
from test_cos_python import refused as cos_refused


def iam(bucket, *statements):
    base = {"Effect": "Allow", "Principal": "*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**base, **more} for more in statements]})


def cam(bucket, *statements):
    base = {
        "effect": "allow",
        "principal": {"qcs": ["qcs::cam::anyone:anyone"]},
        "resource": [f"qcs::cos:{harness.REGION}:uid/{harness.APPID}:{bucket}/*"],
    }
    return {"version": "2.0", "statement": [{**base, **more} for more in statements]}


def test_a_policy_has_one_life_in_each_dialect(aws, cos, bucket):
    assert aws_refused(aws.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    expect(cos_refused(cos.get_bucket_policy, Bucket=bucket), 404, "NoSuchPolicy")
    mine = iam(bucket, {"Action": "s3:GetObject"})
    theirs = cam(bucket, {"action": ["name/cos:GetObject"]})
    aws.put_bucket_policy(Bucket=bucket, Policy=mine)
    cos.put_bucket_policy(Bucket=bucket, Policy=theirs)
    assert aws.get_bucket_policy(Bucket=bucket)["Policy"] == mine
    assert json.loads(cos.get_bucket_policy(Bucket=bucket)["Policy"]) == theirs
    assert aws.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    aws.delete_bucket_policy(Bucket=bucket)
    assert aws_refused(aws.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    cos.delete_bucket_policy(Bucket=bucket)
    expect(cos_refused(cos.get_bucket_policy, Bucket=bucket), 404, "NoSuchPolicy")


def test_anybody_may_do_what_a_policy_of_s3_says(aws, nobody, cos_nobody, bucket):
    aws.put_object(Bucket=bucket, Key="public/a", Body=b"open")
    aws.put_object(Bucket=bucket, Key="secret", Body=b"closed")
    assert aws_refused(nobody.get_object, Bucket=bucket, Key="public/a") == (403, "AccessDenied")
    policy = iam(
        bucket,
        {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/public/*"},
        {"Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "public/*"}}},
    )
    aws.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert nobody.get_object(Bucket=bucket, Key="public/a")["Body"].read() == b"open"
    assert cos_read(cos_nobody.get_object(Bucket=bucket, Key="public/a")) == b"open"
    # boto3 sends this one in chunks with a checksum behind them.
    nobody.put_object(Bucket=bucket, Key="public/b", Body=io.BytesIO(b"mine"), ChecksumAlgorithm="SHA256")
    cos_nobody.put_object(Bucket=bucket, Key="public/c", Body=b"mine")
    listed = nobody.list_objects_v2(Bucket=bucket, Prefix="public/")
    assert [entry["Key"] for entry in listed["Contents"]] == ["public/a", "public/b", "public/c"]
    assert aws_refused(nobody.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    for call, more in ((nobody.get_object, {}), (nobody.delete_object, {}), (nobody.put_object, {"Body": b"x"})):
        assert aws_refused(call, Bucket=bucket, Key="secret", **more) == (403, "AccessDenied")
    expect(cos_refused(cos_nobody.get_object, Bucket=bucket, Key="secret"), 403, "AccessDenied")
    assert aws.get_object(Bucket=bucket, Key="secret")["Body"].read() == b"closed"
    refused = aws_refused(nobody.get_object, Bucket=bucket, Key="public/a", ResponseContentType="text/html")
    assert refused == (400, "InvalidRequest")


def test_anybody_may_do_what_a_policy_of_cos_says(cos, cos_nobody, nobody, bucket):
    cos.put_object(Bucket=bucket, Key="a", Body=b"open")
    local = {"ip_equal": {"qcs:ip": ["127.0.0.0/8", "::1"]}}
    cos.put_bucket_policy(Bucket=bucket, Policy=cam(bucket, {"action": ["name/cos:Get*"], "condition": local}))
    assert cos_read(cos_nobody.get_object(Bucket=bucket, Key="a")) == b"open"
    assert nobody.get_object(Bucket=bucket, Key="a")["Body"].read() == b"open"
    assert nobody.list_objects(Bucket=bucket)["Contents"][0]["Key"] == "a"
    expect(cos_refused(cos_nobody.put_object, Bucket=bucket, Key="b", Body=b""), 403, "AccessDenied")
    away = {"ip_equal": {"qcs:ip": "10.0.0.0/8"}}
    cos.put_bucket_policy(Bucket=bucket, Policy=cam(bucket, {"action": ["name/cos:Get*"], "condition": away}))
    expect(cos_refused(cos_nobody.get_object, Bucket=bucket, Key="a"), 403, "AccessDenied")


def test_a_denial_keeps_everybody_out(aws, cos, bucket):
    aws.put_object(Bucket=bucket, Key="a", Body=b"kept")
    deny = {"Effect": "Deny", "Action": ["s3:DeleteObject", "s3:PutBucketPolicy"]}
    aws.put_bucket_policy(Bucket=bucket, Policy=iam(bucket, deny))
    assert aws_refused(aws.delete_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    expect(cos_refused(cos.delete_object, Bucket=bucket, Key="a"), 403, "AccessDenied")
    many = aws.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}]})
    assert [error["Code"] for error in many["Errors"]] == ["AccessDenied"]
    # The owner is never locked out of the policy itself.
    aws.put_bucket_policy(Bucket=bucket, Policy=iam(bucket, {"Effect": "Deny", "Action": "s3:*"}))
    assert aws_refused(aws.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    aws.delete_bucket_policy(Bucket=bucket)
    # In COS the root may do everything.
    deny = cam(bucket, {"effect": "deny", "action": ["name/cos:DeleteObject"]})
    cos.put_bucket_policy(Bucket=bucket, Policy=deny)
    cos.delete_object(Bucket=bucket, Key="a")


def test_policies_that_are_none(aws, cos, bucket):
    sound = json.loads(iam(bucket, {"Action": "s3:GetObject"}))
    for change in (
        {"Version": "1"},
        {"Statement": []},
        {"Statements": []},
        {"Statement": [{**sound["Statement"][0], "Action": "s3:Nothing"}]},
        {"Statement": [{**sound["Statement"][0], "Resource": "arn:aws:s3:::elsewhere/*"}]},
        {"Statement": [{**sound["Statement"][0], "Condition": {"Equal": {"aws:SourceIp": "1.2.3.4"}}}]},
    ):
        policy = json.dumps({**sound, **change})
        assert aws_refused(aws.put_bucket_policy, Bucket=bucket, Policy=policy) == (400, "MalformedPolicy"), policy
    expect(cos_refused(cos.put_bucket_policy, Bucket=bucket, Policy=sound), 400, "MalformedPolicy")


def test_public_access_can_be_blocked(aws, cos, nobody, bucket):
    aws.put_object(Bucket=bucket, Key="a", Body=b"open")
    public = iam(bucket, {"Action": "s3:GetObject"})
    aws.put_bucket_policy(Bucket=bucket, Policy=public)
    nobody.get_object(Bucket=bucket, Key="a")
    missing = (404, "NoSuchPublicAccessBlockConfiguration")
    assert aws_refused(aws.get_public_access_block, Bucket=bucket) == missing
    settings = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    aws.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=settings)
    assert aws.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == settings
    assert aws_refused(nobody.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    assert aws_refused(aws.put_bucket_policy, Bucket=bucket, Policy=public) == (403, "AccessDenied")
    refused = cos_refused(cos.put_bucket_policy, Bucket=bucket, Policy=cam(bucket, {"action": ["cos:*"]}))
    expect(refused, 403, "AccessDenied")
    aws.delete_public_access_block(Bucket=bucket)
    nobody.get_object(Bucket=bucket, Key="a")


def test_who_says_nothing_learns_nothing(server, nobody, bucket):
    with pytest.raises(ClientError) as closed:
        nobody.get_object(Bucket=bucket, Key="a")
    with pytest.raises(ClientError) as missing:
        nobody.get_object(Bucket=f"missing-{harness.APPID}", Key="a")
    assert closed.value.response["Error"]["Code"] == missing.value.response["Error"]["Code"] == "AccessDenied"
    forged = {"Host": f"{bucket}.{harness.ENDPOINT}", "X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1"}
    assert requests.get(f"http://127.0.0.1:{server.port}/a", headers=forged, timeout=10).status_code == 403


def test_old_versions_of_tls_can_be_refused(tmp_path, monkeypatch):
    """Which one a connection speaks is a number, and nothing where it is not encrypted."""
    authority = Authority(tmp_path / "authority")
    cert, key = authority.issue("server", "IP:127.0.0.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
    server = harness.Server(args=["--tls-cert", str(cert), "--tls-key", str(key)]).start()
    try:
        url = f"https://127.0.0.1:{server.port}"
        aws = s3client.s3(server, style="path", endpoint=url)
        bucket = f"tls-{harness.APPID}"
        aws.create_bucket(Bucket=bucket)
        aws.put_object(Bucket=bucket, Key="a", Body=b"open")

        def statuses():
            found = []
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = ssl.create_default_context(cafile=str(authority.file))
                context.minimum_version = context.maximum_version = version
                with urllib3.PoolManager(ssl_context=context) as http:
                    found.append(http.request("GET", f"{url}/{bucket}/a").status)
            return found

        read = {"Action": "s3:GetObject"}
        deny = {"Effect": "Deny", "Action": "s3:GetObject"}
        old = {"Condition": {"NumericLessThan": {"s3:TlsVersion": "1.3"}}}
        aws.put_bucket_policy(Bucket=bucket, Policy=iam(bucket, read, {**deny, **old}))
        assert statuses() == [403, 200]
        old = {"Condition": {"NumericLessThan": {"s3:TlsVersion": 1.2}}}
        aws.put_bucket_policy(Bucket=bucket, Policy=iam(bucket, read, {**deny, **old}))
        assert statuses() == [200, 200]
        aws.delete_bucket_policy(Bucket=bucket)
        assert statuses() == [403, 403]

        # A plain connection has no version, and so is not below one; COS's key says the same.
        server.stop()
        plain = harness.Server(data_dir=server.data_dir).start()
        try:
            cos = cosclient.make_client(plain)
            condition = {"numeric_equal": {"cos:tls-version": "1.2"}}
            allow = {"action": ["name/cos:GetObject"], "condition": condition}
            cos.put_bucket_policy(Bucket=bucket, Policy=cam(bucket, allow))
            headers = {"Host": f"{bucket}.{harness.ENDPOINT}"}
            assert requests.get(f"http://127.0.0.1:{plain.port}/a", headers=headers, timeout=10).status_code == 403
        finally:
            plain.stop()
        server.start()
        assert statuses() == [200, 403]
    finally:
        server.finish()
