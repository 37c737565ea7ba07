"""Temporary keys: asked for by the vendor's libraries, used by the SDKs of both
services."""

import json
import time
import urllib.parse

import boto3
import pytest
import requests
from botocore.config import Config
from sts.sts import Sts

import harness
from conftest import bucket_name
from cosclient import make_client
from s3client import s3
from tencentcloud.sts.v20180813 import models
from test_boto3 import refused as aws_refused
from test_cloud_api import client as sts_client
from test_cloud_api import refused as cloud_refused
from test_cos_python import expect, read
from test_cos_python import refused as cos_refused

EVERYTHING = {"version": "2.0", "statement": [{"effect": "allow", "action": "*", "resource": "*"}]}


def ask(server, policy=EVERYTHING, seconds=None, name="somebody", encode=True, **more):
    """GetFederationToken through tencentcloud-sdk-python."""
    request = models.GetFederationTokenRequest()
    text = json.dumps(policy)
    request.Name, request.Policy = name, urllib.parse.quote(text) if encode else text
    request.DurationSeconds = seconds
    return sts_client(server, **more).GetFederationToken(request)


def cos_of(server, credentials):
    return make_client(
        server, credentials.TmpSecretId, credentials.TmpSecretKey, Token=credentials.Token
    )


def aws_of(server, credentials, **config):
    return boto3.client(
        "s3",
        endpoint_url=f"http://{harness.ENDPOINT}:{server.port}",
        region_name=harness.REGION,
        aws_access_key_id=credentials.TmpSecretId,
        aws_secret_access_key=credentials.TmpSecretKey,
        aws_session_token=credentials.Token,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


def prefix_policy(bucket, prefix, *actions):
    resource = f"qcs::cos:{harness.REGION}:uid/{harness.APPID}:{bucket}/{prefix}*"
    statement = {"effect": "allow", "action": list(actions), "resource": [resource]}
    return {"version": "2.0", "statement": [statement]}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("signature", ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"])
@pytest.mark.parametrize("encode", [True, False])
def test_what_is_handed_out(server, signature, method, encode):
    before = int(time.time())
    answer = ask(server, encode=encode, signature=signature, method=method)
    assert before + 1800 <= answer.ExpiredTime <= int(time.time()) + 1800
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(answer.ExpiredTime))
    assert answer.Expiration == then
    assert len(answer.Credentials.Token) <= 4096
    # And it signs requests to this API in its turn.
    key = answer.Credentials
    mine = sts_client(
        server, key.TmpSecretKey, key.Token, key.TmpSecretId, signature=signature, method=method
    )
    who = mine.GetCallerIdentity(models.GetCallerIdentityRequest())
    uin = harness.OWNER_UIN
    assert (who.AccountId, who.PrincipalId, who.UserId) == (uin, uin, f"{uin}:somebody")
    assert who.Arn == f"qcs::sts:{uin}:federated-user/{uin}"


def test_what_is_refused(server):
    def code(**more):
        return cloud_refused(lambda: ask(server, **more))

    assert code(seconds=7201) == "InvalidParameter.OverTimeError"
    assert code(seconds=0) == "InvalidParameter.ParamError"
    assert code(seconds=-1) == "InvalidParameter.ParamError"
    assert code(name="a b") == "InvalidParameter.ParamError"
    assert code(name=None) == "MissingParameter"
    assert code(policy={}) == "InvalidParameter.StrategyFormatError"
    assert code(policy=[1]) == "InvalidParameter.StrategyFormatError"
    wrong = prefix_policy("b", "", "name/cos:GetObject")
    wrong["statement"][0]["resource"] = "qcs::cos:b"
    assert code(policy=wrong) == "InvalidParameter.ResouceError"
    vpc = json.loads(json.dumps(EVERYTHING))
    vpc["statement"][0]["condition"] = {"string_equal": {"vpc:requester_vpc": "vpc-1"}}
    assert code(policy=vpc) == "UnsupportedOperation"
    large = json.loads(json.dumps(EVERYTHING))
    large["statement"] *= 400
    assert code(policy=large) == "InvalidParameter.PolicyTooLong"
    ask(server, seconds=7200)

    key = ask(server).Credentials
    own = {"key": key.TmpSecretKey, "token": key.Token, "id": key.TmpSecretId}
    assert code(**own) == "FailedOperation.TempKeyNotAllowed"
    assert code(**{**own, "key": "wrong-secret-key"}) == "AuthFailure.SignatureFailure"
    assert code(**{**own, "token": None}) == "AuthFailure.SecretIdNotFound"
    assert code(**{**own, "token": key.Token[:-1]}) == "AuthFailure.TokenFailure"


def test_the_library_of_cos_asks_for_a_prefix_and_some_actions(server, bucket):
    library = Sts({
        "url": f"http://127.0.0.1:{server.port}/",
        "domain": f"127.0.0.1:{server.port}",
        "duration_seconds": 900,
        "secret_id": harness.SECRET_ID,
        "secret_key": harness.SECRET_KEY,
        "bucket": bucket,
        "region": harness.REGION,
        "allow_prefix": ["uploads/*"],
        "allow_actions": [
            "name/cos:PutObject",
            "name/cos:HeadObject",
            "name/cos:InitiateMultipartUpload",
            "name/cos:ListMultipartUploads",
            "name/cos:ListParts",
            "name/cos:UploadPart",
            "name/cos:CompleteMultipartUpload",
            "name/cos:AbortMultipartUpload",
        ],
    })
    answer = library.get_credential()
    key = answer["credentials"]
    assert answer["expiredTime"] - answer["startTime"] == 900
    cos = make_client(server, key["tmpSecretId"], key["tmpSecretKey"], Token=key["sessionToken"])
    cos.put_object(Bucket=bucket, Key="uploads/a", Body=b"mine")
    assert cos.head_object(Bucket=bucket, Key="uploads/a")["Content-Length"] == "4"
    upload = cos.create_multipart_upload(Bucket=bucket, Key="uploads/b")["UploadId"]
    part = cos.upload_part(bucket, "uploads/b", b"part", 1, upload)["ETag"]
    parts = {"Part": [{"ETag": part, "PartNumber": 1}]}
    cos.complete_multipart_upload(bucket, "uploads/b", upload, parts)

    expect(cos_refused(cos.get_object, Bucket=bucket, Key="uploads/a"), 403, "AccessDenied")
    expect(cos_refused(cos.put_object, bucket, b"x", "other"), 403, "AccessDenied")
    expect(cos_refused(cos.delete_object, bucket, "uploads/a"), 403, "AccessDenied")
    expect(cos_refused(cos.list_objects, Bucket=bucket), 403, "AccessDenied")
    expect(cos_refused(cos.list_buckets), 403, "AccessDenied")
    expect(cos_refused(cos.create_bucket, Bucket=bucket_name()), 403, "AccessDenied")
    expect(cos_refused(cos.delete_bucket, Bucket=bucket), 403, "AccessDenied")


def test_boto3_with_a_session_token(server, bucket):
    policy = prefix_policy(bucket, "mine/", "name/cos:GetObject", "name/cos:PutObject")
    aws = aws_of(server, ask(server, policy).Credentials)
    aws.put_object(Bucket=bucket, Key="mine/a", Body=b"mine")
    assert aws.get_object(Bucket=bucket, Key="mine/a")["Body"].read() == b"mine"
    assert aws_refused(aws.put_object, Bucket=bucket, Key="other", Body=b"") == (403, "AccessDenied")
    assert aws_refused(aws.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert aws_refused(aws.list_buckets) == (403, "AccessDenied")
    copy = {"Bucket": bucket, "Key": "other"}
    s3(server).put_object(Bucket=bucket, Key="other", Body=b"closed")
    assert aws_refused(aws.copy_object, Bucket=bucket, Key="mine/b", CopySource=copy) == (
        403,
        "AccessDenied",
    )


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_links_and_forms_of_boto3(server, bucket, signature):
    policy = prefix_policy(bucket, "mine/", "name/cos:GetObject", "name/cos:PostObject")
    key = ask(server, policy, seconds=3).Credentials
    aws = aws_of(server, key, signature_version=signature)
    s3(server).put_object(Bucket=bucket, Key="mine/a", Body=b"mine")
    s3(server).put_object(Bucket=bucket, Key="other", Body=b"closed")

    def link(name):
        return aws.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": name}, ExpiresIn=3600
        )

    good = link("mine/a")
    assert requests.get(good).content == b"mine"
    assert requests.get(link("other")).status_code == 403

    def post(name):
        form = aws.generate_presigned_post(bucket, name)
        return requests.post(form["url"], form["fields"], files={"file": b"form"})

    assert post("mine/form").status_code == 204
    assert post("form").status_code == 403
    form = aws.generate_presigned_post(bucket, "mine/form")
    deadline = time.monotonic() + 30
    while (answer := requests.get(good)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.status_code == 400 and "<Code>ExpiredToken</Code>" in answer.text
    late = requests.post(form["url"], form["fields"], files={"file": b"form"})
    assert late.status_code == 400 and "<Code>ExpiredToken</Code>" in late.text


def test_links_of_the_cos_sdk_end_with_their_token(server, bucket):
    policy = prefix_policy(bucket, "mine/", "name/cos:GetObject")
    cos = cos_of(server, ask(server, policy, seconds=2).Credentials)
    owner = make_client(server)
    owner.put_object(Bucket=bucket, Key="mine/a", Body=b"mine")
    assert read(cos.get_object(Bucket=bucket, Key="mine/a")) == b"mine"
    token = {"x-cos-security-token": cos.get_conf()._token}

    def link(key):
        return cos.get_presigned_url(bucket, key, "GET", Expired=3600, Params=token)

    good = link("mine/a")
    assert requests.get(good).content == b"mine"
    assert requests.get(link("other")).status_code == 403
    # The token may also stand beside a link that does not name it.
    bare = cos.get_presigned_url(bucket, "mine/a", "GET", Expired=3600)
    assert requests.get(bare).status_code == 403
    assert requests.get(bare, headers=token).content == b"mine"
    deadline = time.monotonic() + 30
    while (answer := requests.get(good)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.status_code == 400 and "<Code>ExpiredToken</Code>" in answer.text
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="mine/a"), 400, "ExpiredToken")


def test_wrong_tokens(server, bucket):
    key = ask(server).Credentials
    token, key.Token = key.Token, None
    expect(cos_refused(cos_of(server, key).list_buckets), 403, "InvalidAccessKeyId")
    assert aws_refused(aws_of(server, key).list_buckets) == (403, "InvalidAccessKeyId")
    # Never the token itself, whatever it is.
    key.Token = token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]
    expect(cos_refused(cos_of(server, key).list_buckets), 403, "InvalidAccessKeyId")
    assert aws_refused(aws_of(server, key).list_buckets) == (400, "InvalidToken")
    key.Token = token
    assert bucket in [b["Name"] for b in aws_of(server, key).list_buckets()["Buckets"]]
