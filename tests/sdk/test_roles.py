"""Roles through CAM, and taken on by AssumeRole of Tencent Cloud's STS."""

import json
import time
import urllib.parse

import pytest
from sts.sts import Sts
from tencentcloud.sts.v20180813 import models

import harness
from cosclient import make_client
from test_boto3 import refused as aws_refused
from test_cloud_api import client as sts_client
from test_cloud_api import refused
from test_cos_python import expect, read
from test_cos_python import refused as cos_refused
from test_temporary_keys import aws_of, cos_of
from test_users import SEEN_S, Cam, cam, document, policy, somebody, unused

__all__ = ["cam", "somebody"]

ACCOUNT = f"qcs::cam::uin/{harness.OWNER_UIN}:root"


def trust(principal=ACCOUNT, **more):
    statement = {
        "effect": "allow",
        "action": "name/sts:AssumeRole",
        "principal": {"qcs": [principal]},
        **more,
    }
    return json.dumps({"version": "2.0", "statement": [statement]})


def arn(name):
    return f"qcs::cam::uin/{harness.OWNER_UIN}:roleName/{name}"


def assume(server, role, keys={}, **parameters):
    request = models.AssumeRoleRequest()
    request._deserialize({"RoleArn": role, "RoleSessionName": "somebody", **parameters})
    return sts_client(server, **keys).AssumeRole(request)


def of(user):
    return {"id": user.SecretId, "key": user.SecretKey}


@pytest.mark.parametrize("signature", ["TC3-HMAC-SHA256", "HmacSHA1"])
def test_a_roles_life(server, signature):
    cam = Cam(server, signature=signature)
    name = unused("role")
    role = cam.CreateRole(
        RoleName=name, PolicyDocument=trust(), Description="audits", SessionDuration=600
    ).RoleId
    used = refused(lambda: cam.CreateRole(RoleName=name, PolicyDocument=trust()))
    assert used == "InvalidParameter.RoleNameInUse"
    for which in ({"RoleId": role}, {"RoleName": name}):
        shown = cam.GetRole(**which).RoleInfo
        assert (shown.RoleId, shown.RoleName, shown.Description) == (role, name, "audits")
        assert (shown.PolicyDocument, shown.SessionDuration) == (trust(), 600)
        assert shown.RoleArn == arn(name)
    assert role in [one.RoleId for one in cam.DescribeRoleList(Page=1, Rp=200).List]
    cam.UpdateRoleDescription(RoleName=name, Description="looks")
    other = trust(f"qcs::cam::uin/{harness.OWNER_UIN}:uin/{harness.OWNER_UIN}")
    cam.UpdateAssumeRolePolicy(RoleId=role, PolicyDocument=other)
    shown = cam.GetRole(RoleId=role).RoleInfo
    assert (shown.Description, shown.PolicyDocument) == ("looks", other)

    reads = policy(cam, {"action": "cos:GetObject"})
    cam.AttachRolePolicy(PolicyId=reads, AttachRoleName=name)
    attached = cam.ListAttachedRolePolicies(RoleId=role, Page=1, Rp=20)
    assert (attached.TotalNum, attached.List[0].PolicyId) == (1, reads)
    cam.DetachRolePolicy(PolicyId=reads, DetachRoleId=role)
    assert cam.ListAttachedRolePolicies(RoleName=name, Page=1, Rp=20).List == []

    def code(**parameters):
        return refused(lambda: cam.CreateRole(RoleName=unused("role"), **parameters))

    assert code(PolicyDocument=trust("nobody")) == "InvalidParameter.PrincipalError"
    assert code(PolicyDocument=document({"action": "*"})) == "InvalidParameter.PolicyDocumentError"
    assert code(PolicyDocument=trust(), SessionDuration=43_201) == "InvalidParameter.ParamError"
    assert code(PolicyDocument=trust(), ConsoleLogin=1) == "UnsupportedOperation"
    assert code() == "MissingParameter"
    cam.DeleteRole(RoleName=name)
    assert refused(lambda: cam.GetRole(RoleId=role)) == "InvalidParameter.RoleNotExist"
    assert refused(lambda: cam.GetRole()) == "MissingParameter"


def test_whoever_takes_on_a_role_may_do_what_it_may(server, cam, somebody, bucket):
    make_client(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    name = unused("role")
    role = cam.CreateRole(RoleName=name, PolicyDocument=trust()).RoleId
    cam.AttachRolePolicy(PolicyId=policy(cam, {"action": "cos:GetObject"}), AttachRoleId=role)
    before = int(time.time())
    answer = assume(server, arn(name))
    assert before + 7200 <= answer.ExpiredTime <= int(time.time()) + 7200
    cos, aws = cos_of(server, answer.Credentials), aws_of(server, answer.Credentials)
    assert read(cos.get_object(Bucket=bucket, Key="a")) == b"seen"
    assert aws.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    # He is the root's no more.
    expect(cos_refused(cos.put_object, bucket, b"x", "a"), 403, "AccessDenied")
    assert aws_refused(aws.list_buckets) == (403, "AccessDenied")
    key = answer.Credentials
    mine = sts_client(server, key.TmpSecretKey, key.Token, key.TmpSecretId)
    who = mine.GetCallerIdentity(models.GetCallerIdentityRequest())
    assert (who.UserId, who.AccountId) == (f"{role}:somebody", harness.OWNER_UIN)

    # A policy that comes with the request narrows, and never widens.
    for actions, may in (("cos:PutObject", False), ("*", True)):
        text = urllib.parse.quote(document({"action": actions}))
        narrowed = assume(server, arn(name), Policy=text, DurationSeconds=60)
        mine = cos_of(server, narrowed.Credentials)
        if may:
            assert read(mine.get_object(Bucket=bucket, Key="a")) == b"seen"
        else:
            expect(cos_refused(mine.get_object, Bucket=bucket, Key="a"), 403, "AccessDenied")
        expect(cos_refused(mine.put_object, bucket, b"x", "a"), 403, "AccessDenied")

    # What the role may is what it may at the moment.
    deny = policy(cam, {"effect": "deny", "action": "*"})
    cam.AttachRolePolicy(PolicyId=deny, AttachRoleId=role)
    time.sleep(SEEN_S)
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="a"), 403, "AccessDenied")
    cam.DetachRolePolicy(PolicyId=deny, DetachRoleId=role)
    time.sleep(SEEN_S)
    assert read(cos.get_object(Bucket=bucket, Key="a")) == b"seen"
    cam.DeleteRole(RoleId=role)
    time.sleep(SEEN_S)
    assert aws_refused(aws.get_object, Bucket=bucket, Key="a") == (400, "InvalidToken")


def test_a_buckets_policy_names_a_role(server, cam, bucket):
    owner = make_client(server)
    owner.put_object(Bucket=bucket, Key="a", Body=b"seen")
    name = unused("role")
    cam.CreateRole(RoleName=name, PolicyDocument=trust())
    aws = aws_of(server, assume(server, arn(name)).Credentials)
    assert aws_refused(aws.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    statement = {
        "effect": "allow",
        "principal": {"qcs": [arn(name)]},
        "action": ["name/cos:GetObject"],
        "resource": [f"qcs::cos:{harness.REGION}:uid/{harness.APPID}:{bucket}/*"],
    }
    owner.put_bucket_policy(bucket, {"version": "2.0", "statement": [statement]})
    assert aws.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert aws_refused(aws.delete_object, Bucket=bucket, Key="a") == (403, "AccessDenied")


def test_who_may_take_on_a_role(server, cam, somebody):
    denied = "UnauthorizedOperation"
    himself = f"qcs::cam::uin/{harness.OWNER_UIN}:uin/{somebody.Uin}"
    root = f"qcs::cam::uin/{harness.OWNER_UIN}:uin/{harness.OWNER_UIN}"
    names = {}
    for whom, principal in (("all", ACCOUNT), ("him", himself), ("root", root)):
        names[whom] = unused("role")
        cam.CreateRole(RoleName=names[whom], PolicyDocument=trust(principal))

    def may(whom, **more):
        try:
            assume(server, arn(names[whom]), of(somebody), **more)
        except Exception as error:
            assert error.get_code() == denied
            return False
        return True

    # Without a policy of his own nobody takes on anything.
    assert [may("all"), may("him"), may("root")] == [False, False, False]
    some = {"action": "sts:AssumeRole", "resource": [arn(names["all"]), arn(names["root"])]}
    allows = policy(cam, some)
    cam.AttachUserPolicy(PolicyId=allows, AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert [may("all"), may("him"), may("root")] == [True, False, False]
    every = {"action": "sts:*", "resource": "qcs::cam::uin/*:roleName/*"}
    cam.AttachUserPolicy(PolicyId=policy(cam, every), AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert [may("all"), may("him"), may("root")] == [True, True, False]
    assert refused(lambda: assume(server, arn("nobody"), of(somebody))) == denied
    # A secret that its owner told those who may.
    condition = {"string_equal": {"sts:external_id": "told"}}
    role = cam.GetRole(RoleName=names["all"]).RoleInfo.RoleId
    cam.UpdateAssumeRolePolicy(RoleId=role, PolicyDocument=trust(condition=condition))
    assert not may("all")
    assert not may("all", ExternalId="guessed")
    assert may("all", ExternalId="told")


def test_what_is_refused(server, cam):
    name = unused("role")
    cam.CreateRole(RoleName=name, PolicyDocument=trust(), SessionDuration=600)

    def code(role=arn(name), **parameters):
        return refused(lambda: assume(server, role, **parameters))

    assert code(DurationSeconds=601) == "InvalidParameter.OverTimeError"
    assert code(DurationSeconds=0) == "InvalidParameter.ParamError"
    assert code(RoleSessionName="a") == "InvalidParameter.ParamError"
    assert code(RoleSessionName="a b") == "InvalidParameter.ParamError"
    assert code(Policy="{}") == "InvalidParameter.StrategyFormatError"
    assert code(role="a role") == "InvalidParameter.ParamError"
    assert code(role=f"qcs::cam::uin/100000000009:roleName/{name}") == "UnauthorizedOperation"
    # Whom the role trusts may not give tags for that.
    assert code(Tags=[{"Key": "a", "Value": "b"}]) == "UnauthorizedOperation"


def test_the_library_of_cos_assumes_a_role(server, cam, bucket):
    name = unused("role")
    role = cam.CreateRole(RoleName=name, PolicyDocument=trust()).RoleId
    cam.AttachRolePolicy(PolicyId=policy(cam, {"action": "cos:*"}), AttachRoleId=role)
    library = Sts({
        "url": f"http://127.0.0.1:{server.port}/",
        "domain": f"127.0.0.1:{server.port}",
        "duration_seconds": 900,
        "secret_id": harness.SECRET_ID,
        "secret_key": harness.SECRET_KEY,
        "bucket": bucket,
        "region": harness.REGION,
        "allow_prefix": ["uploads/*"],
        "allow_actions": ["name/cos:PutObject"],
    })
    answer = library.get_role_credential(arn(name))
    key = answer["credentials"]
    assert answer["expiredTime"] - answer["startTime"] == 900
    cos = make_client(server, key["tmpSecretId"], key["tmpSecretKey"], Token=key["sessionToken"])
    cos.put_object(Bucket=bucket, Key="uploads/a", Body=b"mine")
    expect(cos_refused(cos.put_object, bucket, b"x", "other"), 403, "AccessDenied")
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="uploads/a"), 403, "AccessDenied")


def test_a_name_of_an_app(server, cam, somebody):
    root = cam.GetUserAppId()
    assert (root.Uin, root.OwnerUin) == (harness.OWNER_UIN, harness.OWNER_UIN)
    mine = Cam(server, somebody.SecretId, somebody.SecretKey).GetUserAppId()
    assert (mine.Uin, mine.OwnerUin) == (str(somebody.Uin), harness.OWNER_UIN)
    assert root.AppId == mine.AppId == int(harness.APPID)
