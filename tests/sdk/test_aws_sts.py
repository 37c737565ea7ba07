"""AWS STS at the address of S3, through boto3."""

import json
import time

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

import harness
from s3client import s3
from test_boto3 import refused as s3_refused
from test_roles import arn as cam_arn
from test_roles import trust as cam_trust
from test_users import SEEN_S, cam, policy, somebody, unused

__all__ = ["cam", "somebody"]

UIN = harness.OWNER_UIN


def client(server, service, id=harness.SECRET_ID, key=harness.SECRET_KEY, token=None, **config):
    return boto3.client(
        service,
        endpoint_url=f"http://{harness.ENDPOINT}:{server.port}",
        region_name=harness.REGION,
        aws_access_key_id=id,
        aws_secret_access_key=key,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


def keys(credentials):
    return {
        "id": credentials["AccessKeyId"],
        "key": credentials["SecretAccessKey"],
        "token": credentials["SessionToken"],
    }


def of(user):
    return {"id": user.SecretId, "key": user.SecretKey}


def refused(call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status, error.response["Error"]["Code"]
    raise AssertionError("not refused")


def iam_policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def remaining(credentials):
    return credentials["Expiration"].timestamp() - time.time()


def test_who_am_i(server, somebody):
    answer = client(server, "sts").get_caller_identity()
    assert (answer["Account"], answer["UserId"]) == (UIN, UIN)
    assert answer["Arn"] == f"arn:aws:iam::{UIN}:root"
    metadata = answer["ResponseMetadata"]
    assert metadata["HTTPHeaders"]["content-type"] == "text/xml"
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-amz-request-id"]
    answer = client(server, "sts", **of(somebody)).get_caller_identity()
    assert answer["Arn"] == f"arn:aws:iam::{UIN}:user/{somebody.Name}"
    assert answer["UserId"] == str(somebody.Uin)


def test_what_is_refused(server):
    def code(action="get_caller_identity", parameters={}, **more):
        return refused(getattr(client(server, "sts", **more), action), **parameters)

    assert code(key="wrong-secret-key") == (403, "SignatureDoesNotMatch")
    assert code(id="AKIDnobody") == (403, "InvalidClientTokenId")
    assert code(token="nothing") == (403, "InvalidClientTokenId")
    short = {"DurationSeconds": 900}
    assert code("get_session_token", {"DurationSeconds": 7201}) == (400, "ValidationError")
    assert code("get_session_token", {**short, "SerialNumber": "123456789", "TokenCode": "123456"})[
        0
    ] == 501
    name = {"Name": "browser", **short}
    assert code("get_federation_token", {**name, "Policy": "{}"}) == (
        400,
        "MalformedPolicyDocument",
    )
    assert code("get_federation_token", {**name, "Name": "a b"}) == (400, "ValidationError")
    role = {"RoleArn": f"arn:aws:iam::{UIN}:role/nobody", "RoleSessionName": "some"}
    assert code("assume_role", role) == (403, "AccessDenied")
    assert code("assume_role", {**role, "RoleArn": "a" * 20}) == (400, "ValidationError")
    assert code("get_access_key_info", {"AccessKeyId": "AKID" * 4}) == (501, "NotImplemented")


def test_the_body_is_signed(server):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url = f"http://{harness.ENDPOINT}:{server.port}/"
    body = "Action=GetCallerIdentity&Version=2011-06-15"

    def send(service, signed, sent):
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        request = AWSRequest("POST", url, headers=kind, data=signed)
        credentials = Credentials(harness.SECRET_ID, harness.SECRET_KEY)
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        return requests.post(url, headers=dict(request.headers), data=sent)

    assert send("sts", body, body).status_code == 200
    changed = send("sts", body, body.replace("Caller", "Other"))
    assert changed.status_code == 403 and "<Code>SignatureDoesNotMatch<" in changed.text
    # A signature for S3 is none for this, and the reverse.
    assert send("s3", body, body).status_code == 400
    for wrong, status, code in (
        ("Version=2011-06-15", 400, "MissingAction"),
        ("Action=Nothing&Version=2011-06-15", 400, "InvalidAction"),
        ("Action=GetCallerIdentity&Version=2010-05-08", 400, "InvalidAction"),
        ("Action=GetCallerIdentity&Version=2011-06-15&Extra=1", 501, "NotImplemented"),
        ("Action=%ff", 400, "MalformedQueryString"),
    ):
        answer = send("sts", wrong, wrong)
        assert answer.status_code == status and f"<Code>{code}</Code>" in answer.text, wrong
    long = send("sts", body + "&A=" + "a" * (200 << 10), body + "&A=" + "a" * (200 << 10))
    assert long.status_code == 413


def test_a_session_of_ones_own(server, cam, somebody, bucket):
    cam.AttachUserPolicy(PolicyId=policy(cam, {"action": "cos:*"}), AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    sts = client(server, "sts", **of(somebody))
    own = sts.get_session_token()["Credentials"]
    assert 43_100 < remaining(own) <= 43_200
    mine = client(server, "s3", **keys(own))
    mine.put_object(Bucket=bucket, Key="a", Body=b"mine")
    temporary = client(server, "sts", **keys(own))
    assert temporary.get_caller_identity()["Arn"] == f"arn:aws:iam::{UIN}:user/{somebody.Name}"
    assert refused(temporary.get_session_token) == (403, "AccessDenied")
    # He can do what the user may at the moment.
    deny = policy(cam, {"effect": "deny", "action": "cos:PutObject"})
    cam.AttachUserPolicy(PolicyId=deny, AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert s3_refused(mine.put_object, Bucket=bucket, Key="a", Body=b"") == (403, "AccessDenied")
    root = client(server, "sts").get_session_token(DurationSeconds=900)["Credentials"]
    assert client(server, "s3", **keys(root)).head_bucket(Bucket=bucket)
    assert s3_refused(client(server, "s3", **{**keys(root), "token": None}).list_buckets)[0] == 403


def test_a_federated_user(server, cam, somebody, bucket):
    s3(server).put_object(Bucket=bucket, Key="open/a", Body=b"seen")
    reads = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/open/*",
    }
    answer = client(server, "sts").get_federation_token(Name="browser", Policy=iam_policy(reads))
    assert answer["FederatedUser"] == {
        "FederatedUserId": f"{UIN}:browser",
        "Arn": f"arn:aws:sts::{UIN}:federated-user/browser",
    }
    assert 3500 < remaining(answer["Credentials"]) <= 3600
    mine = client(server, "s3", **keys(answer["Credentials"]))
    assert mine.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"seen"
    assert s3_refused(mine.put_object, Bucket=bucket, Key="open/a") == (403, "AccessDenied")
    who = client(server, "sts", **keys(answer["Credentials"])).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{UIN}:federated-user/browser"
    # Without a policy he may do nothing.
    bare = client(server, "sts").get_federation_token(Name="browser")["Credentials"]
    got = s3_refused(client(server, "s3", **keys(bare)).get_object, Bucket=bucket, Key="open/a")
    assert got == (403, "AccessDenied")
    # A user needs to be allowed to let others in.
    sts = client(server, "sts", **of(somebody))
    assert refused(sts.get_federation_token, Name="browser") == (403, "AccessDenied")


def test_a_role(server, cam, somebody, bucket):
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    name = unused("role")
    role = cam.CreateRole(RoleName=name, PolicyDocument=cam_trust()).RoleId
    cam.AttachRolePolicy(PolicyId=policy(cam, {"action": "cos:GetObject"}), AttachRoleId=role)
    wanted = {"RoleArn": f"arn:aws:iam::{UIN}:role/{name}", "RoleSessionName": "auditor"}
    sts = client(server, "sts", **of(somebody))
    assert refused(sts.assume_role, **wanted) == (403, "AccessDenied")
    may = policy(cam, {"action": "sts:AssumeRole", "resource": cam_arn(name)})
    cam.AttachUserPolicy(PolicyId=may, AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    answer = sts.assume_role(**wanted)
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role}:auditor",
        "Arn": f"arn:aws:sts::{UIN}:assumed-role/{name}/auditor",
    }
    assert 3500 < remaining(answer["Credentials"]) <= 3600
    mine = client(server, "s3", **keys(answer["Credentials"]))
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert s3_refused(mine.put_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    who = client(server, "sts", **keys(answer["Credentials"])).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{UIN}:assumed-role/{name}/auditor"

    lists = iam_policy({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    narrowed = sts.assume_role(**wanted, Policy=lists, DurationSeconds=900)["Credentials"]
    mine = client(server, "s3", **keys(narrowed))
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    assert s3_refused(mine.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert refused(sts.assume_role, **wanted, DurationSeconds=7201) == (400, "ValidationError")


@pytest.mark.parametrize("principal", ["user", "role", "assumed-role"])
def test_a_buckets_policy_names_them(server, cam, somebody, bucket, principal):
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    name = unused("role")
    cam.CreateRole(RoleName=name, PolicyDocument=cam_trust())
    if principal == "user":
        named, mine = f"iam::{UIN}:user/{somebody.Name}", of(somebody)
    else:
        arn = f"arn:aws:iam::{UIN}:role/{name}"
        taken = client(server, "sts").assume_role(RoleArn=arn, RoleSessionName="auditor")
        named, mine = f"iam::{UIN}:role/{name}", keys(taken["Credentials"])
        if principal == "assumed-role":
            named = f"sts::{UIN}:assumed-role/{name}/auditor"
    mine = client(server, "s3", **mine)
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:{named}"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3(server).put_bucket_policy(Bucket=bucket, Policy=iam_policy(statement))
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"


def test_a_session_does_no_more_than_it_was_made_for(server, bucket):
    """Not even by a bucket's policy that names it, which AWS would add to its own."""
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    name = unused("role")
    iam = client(server, "iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": UIN}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=iam_policy(trust))
    reads = {"Effect": "Allow", "Resource": f"arn:aws:s3:::{bucket}/*", "Action": "s3:GetObject"}
    statement = {**reads, "Action": ["s3:GetObject", "s3:PutObject"]}
    statement["Principal"] = {"AWS": f"arn:aws:sts::{UIN}:assumed-role/{name}/auditor"}
    s3(server).put_bucket_policy(Bucket=bucket, Policy=iam_policy(statement))
    taken = client(server, "sts").assume_role(
        RoleArn=f"arn:aws:iam::{UIN}:role/{name}",
        RoleSessionName="auditor",
        Policy=iam_policy(reads),
    )
    mine = client(server, "s3", **keys(taken["Credentials"]))
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert s3_refused(mine.put_object, Bucket=bucket, Key="b") == (403, "AccessDenied")
