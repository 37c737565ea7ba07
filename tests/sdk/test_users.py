"""Sub-users through CAM of Tencent Cloud API 3.0, and their keys in both dialects."""

import itertools
import json
import re
import time

import pytest
from tencentcloud.cam.v20190116 import models
from tencentcloud.cam.v20190116.cam_client import CamClient
from tencentcloud.common.credential import Credential
from tencentcloud.sts.v20180813 import models as sts_models

import harness
from cosclient import make_client
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cloud_api import client as sts_client
from test_cloud_api import profile, refused
from test_cos_python import expect, read
from test_cos_python import refused as cos_refused

# How long another gateway may go by what it knew.
SEEN_S = 1.2

_numbers = itertools.count(int(time.time()) % 10**6 * 100)


def unused(kind):
    return f"{kind}-{next(_numbers)}"


class Cam:
    """CAM as somebody calls it: `cam.AddUser(Name="a")`."""

    def __init__(self, server, id=harness.SECRET_ID, key=harness.SECRET_KEY, token=None, **more):
        credential = Credential(id, key, token)
        self.client = CamClient(credential, harness.REGION, profile(server, **more))

    def __getattr__(self, action):
        def call(**parameters):
            request = getattr(models, f"{action}Request")()
            request._deserialize(parameters)
            return getattr(self.client, action)(request)

        return call


@pytest.fixture
def cam(server):
    return Cam(server)


def document(*statements):
    base = {"effect": "allow", "resource": "*"}
    return json.dumps({"version": "2.0", "statement": [{**base, **more} for more in statements]})


def policy(cam, *statements):
    made = cam.CreatePolicy(PolicyName=unused("policy"), PolicyDocument=document(*statements))
    return made.PolicyId


@pytest.fixture
def somebody(cam):
    """A user with a key."""
    return cam.AddUser(Name=unused("user"), UseApi=1, Remark="a test's")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("signature", ["TC3-HMAC-SHA256", "HmacSHA1"])
def test_a_users_life(server, signature, method):
    cam = Cam(server, signature=signature, method=method)
    name = unused("user")
    user = cam.AddUser(Name=name, Remark="reads", Email="reader@example.com")
    assert len(str(user.Uin)) == 12 and user.Uid and user.SecretId is None
    shown = cam.GetUser(Name=name)
    assert (shown.Uin, shown.Name, shown.Uid, shown.Remark) == (user.Uin, name, user.Uid, "reads")
    assert (shown.Email, shown.ConsoleLogin) == ("reader@example.com", 0)
    cam.UpdateUser(Name=name, Remark="writes")
    listed = {one.Name: one for one in cam.ListUsers().Data}[name]
    assert (listed.Uin, listed.Remark, listed.Email) == (user.Uin, "writes", "reader@example.com")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", listed.CreateTime)

    assert refused(lambda: cam.AddUser(Name=name)) == "InvalidParameter.SubUserNameInUse"
    assert refused(lambda: cam.AddUser(Name="a b")) == "InvalidParameter.UserNameIllegal"
    assert refused(lambda: cam.AddUser()) == "MissingParameter"
    # There is no console to log in to.
    for login in ({"ConsoleLogin": 1}, {"Password": "secret"}):
        assert refused(lambda: cam.AddUser(Name=unused("user"), **login)) == "UnsupportedOperation"
    cam.CreateAccessKey(TargetUin=user.Uin)
    assert refused(lambda: cam.DeleteUser(Name=name)) == "OperationDenied.HaveKeys"
    cam.DeleteUser(Name=name, Force=1)
    assert refused(lambda: cam.GetUser(Name=name)) == "ResourceNotFound.UserNotExist"
    assert refused(lambda: cam.DeleteUser(Name=name)) == "ResourceNotFound.UserNotExist"


def test_keys(server, cam, somebody):
    uin = somebody.Uin
    second = cam.CreateAccessKey(TargetUin=uin, Description="second").AccessKey
    assert (second.Status, second.Description) == ("Active", "second")
    full = refused(lambda: cam.CreateAccessKey(TargetUin=uin))
    assert full == "OperationDenied.AccessKeyOverLimit"
    listed = cam.ListAccessKeys(TargetUin=uin).AccessKeys
    assert [key.AccessKeyId for key in listed] == [somebody.SecretId, second.AccessKeyId]

    def whoami():
        sts = sts_client(server, id=second.AccessKeyId, key=second.SecretAccessKey)
        return sts.GetCallerIdentity(sts_models.GetCallerIdentityRequest())

    who = whoami()
    assert (who.UserId, who.PrincipalId) == (str(uin), str(uin))
    assert (who.AccountId, who.Type) == (harness.OWNER_UIN, "CAMUser")
    assert who.Arn == f"qcs::cam:{harness.OWNER_UIN}:uin/{uin}"
    cam.UpdateAccessKey(TargetUin=uin, AccessKeyId=second.AccessKeyId, Status="Inactive")
    time.sleep(SEEN_S)
    assert refused(whoami) == "AuthFailure.SecretIdNotFound"
    cam.UpdateAccessKey(TargetUin=uin, AccessKeyId=second.AccessKeyId, Status="Active")
    time.sleep(SEEN_S)
    whoami()
    cam.DeleteAccessKey(TargetUin=uin, AccessKeyId=second.AccessKeyId)
    time.sleep(SEEN_S)
    assert refused(whoami) == "AuthFailure.SecretIdNotFound"
    gone = refused(lambda: cam.DeleteAccessKey(TargetUin=uin, AccessKeyId=second.AccessKeyId))
    assert gone == "ResourceNotFound.NotFound"
    wrong = refused(
        lambda: cam.UpdateAccessKey(TargetUin=uin, AccessKeyId=somebody.SecretId, Status="Off")
    )
    assert wrong == "InvalidParameter.ParamError"
    # The account's own key is the operator's.
    assert refused(lambda: cam.CreateAccessKey()) == "UnsupportedOperation"


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_policies(server, method):
    cam = Cam(server, method=method)
    name, text = unused("policy"), document({"action": "cos:GetObject"})
    made = cam.CreatePolicy(PolicyName=name, PolicyDocument=text, Description="reads").PolicyId
    shown = cam.GetPolicy(PolicyId=made)
    assert (shown.PolicyName, shown.PolicyDocument, shown.Description) == (name, text, "reads")
    used = refused(lambda: cam.CreatePolicy(PolicyName=name, PolicyDocument=text))
    assert used == "FailedOperation.PolicyNameInUse"
    listed = cam.ListPolicies(Keyword=name, Scope="Local")
    assert (listed.TotalNum, [one.PolicyId for one in listed.List]) == (1, [made])
    other = document({"action": "cos:PutObject"})
    cam.UpdatePolicy(PolicyId=made, PolicyDocument=other)
    assert cam.GetPolicy(PolicyId=made).PolicyDocument == other

    def code(text):
        return refused(lambda: cam.CreatePolicy(PolicyName=unused("bad"), PolicyDocument=text))

    assert code("nothing") == "InvalidParameter.PolicyDocumentError"
    assert code(document({"effect": "maybe", "action": "*"})) == "InvalidParameter.EffectError"
    assert code(document({"action": "what is this"})) == "InvalidParameter.ActionError"
    everybody = {"action": "*", "principal": {"qcs": ["*"]}}
    assert code(document(everybody)).startswith("InvalidParameter.")
    wrong = {"action": "*", "resource": "qcs::cos:b"}
    assert code(document(wrong)) == "InvalidParameter.ResourceError"

    cam.DeletePolicy(PolicyId=[made])
    assert refused(lambda: cam.GetPolicy(PolicyId=made)) == "ResourceNotFound.PolicyIdNotFound"


def test_a_user_may_do_what_his_policies_say_in_both_dialects(server, cam, somebody, bucket):
    owner = make_client(server)
    owner.put_object(Bucket=bucket, Key="mine/a", Body=b"mine")
    owner.put_object(Bucket=bucket, Key="other", Body=b"closed")
    cos = make_client(server, somebody.SecretId, somebody.SecretKey)
    aws = s3(server, access_key=somebody.SecretId, secret_key=somebody.SecretKey)
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="mine/a"), 403, "AccessDenied")
    expect(cos_refused(cos.list_buckets), 403, "AccessDenied")
    assert aws_refused(aws.get_object, Bucket=bucket, Key="mine/a") == (403, "AccessDenied")

    resource = f"qcs::cos:{harness.REGION}:uid/{harness.APPID}:{bucket}/mine/*"
    reads = policy(cam, {"action": ["name/cos:GetObject"], "resource": resource})
    cam.AttachUserPolicy(PolicyId=reads, AttachUin=somebody.Uin)
    attached = cam.ListAttachedUserPolicies(TargetUin=somebody.Uin)
    assert (attached.TotalNum, attached.List[0].PolicyId) == (1, reads)
    time.sleep(SEEN_S)
    for _ in range(4):
        assert read(cos.get_object(Bucket=bucket, Key="mine/a")) == b"mine"
        assert aws.get_object(Bucket=bucket, Key="mine/a")["Body"].read() == b"mine"
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="other"), 403, "AccessDenied")
    expect(cos_refused(cos.put_object, bucket, b"x", "mine/a"), 403, "AccessDenied")
    assert aws_refused(aws.delete_object, Bucket=bucket, Key="mine/a") == (403, "AccessDenied")
    assert aws_refused(aws.list_buckets) == (403, "AccessDenied")

    everything = policy(cam, {"action": "*"})
    cam.AttachUserPolicy(PolicyId=everything, AttachUin=somebody.Uin)
    forbids = policy(cam, {"effect": "deny", "action": "cos:DeleteObject"})
    cam.AttachUserPolicy(PolicyId=forbids, AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert bucket in [one["Name"] for one in aws.list_buckets()["Buckets"]]
    aws.put_object(Bucket=bucket, Key="other", Body=b"open")
    assert aws_refused(aws.delete_object, Bucket=bucket, Key="mine/a") == (403, "AccessDenied")
    cam.DetachUserPolicy(PolicyId=forbids, DetachUin=somebody.Uin)
    time.sleep(SEEN_S)
    aws.delete_object(Bucket=bucket, Key="mine/a")
    cam.DeletePolicy(PolicyId=[everything, reads])
    time.sleep(SEEN_S)
    expect(cos_refused(cos.get_object, Bucket=bucket, Key="other"), 403, "AccessDenied")


def test_who_may_administer(server, cam, somebody):
    mine = Cam(server, somebody.SecretId, somebody.SecretKey)
    denied = "AuthFailure.UnauthorizedOperation"
    assert refused(lambda: mine.ListUsers()) == denied
    assert refused(lambda: mine.CreateAccessKey()) == denied
    # What is said of objects is said of nobody, and of CAM's resources nothing is known.
    for statement in (
        {"action": "*", "resource": "qcs::cos:*:uid/1250000000:*"},
        {"action": "*", "resource": "qcs::cam::uin/100000000001:uin/*"},
    ):
        cam.AttachUserPolicy(PolicyId=policy(cam, statement), AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert refused(lambda: mine.ListUsers()) == denied
    own = policy(cam, {"action": ["cam:ListUsers", "cam:ListAccessKeys", "sts:GetFederationToken"]})
    cam.AttachUserPolicy(PolicyId=own, AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert mine.ListUsers().Data
    assert [key.AccessKeyId for key in mine.ListAccessKeys().AccessKeys] == [somebody.SecretId]
    assert refused(lambda: mine.AddUser(Name="another")) == denied

    request = sts_models.GetFederationTokenRequest()
    request.Name, request.Policy = "browser", document({"action": "cam:*"})
    request.DurationSeconds = 129_600
    sts = sts_client(server, id=somebody.SecretId, key=somebody.SecretKey)
    key = sts.GetFederationToken(request).Credentials
    temporary = Cam(server, key.TmpSecretId, key.TmpSecretKey, key.Token)
    assert temporary.ListUsers().Data
    assert refused(lambda: temporary.AddUser(Name="another")) == denied
    request.DurationSeconds = 129_601
    assert refused(sts.GetFederationToken, request) == "InvalidParameter.OverTimeError"
    cam.DeleteUser(Name=somebody.Name, Force=1)
    time.sleep(SEEN_S)
    assert refused(lambda: temporary.ListUsers()) == "AuthFailure.TokenFailure"


def test_what_sts_says_of_keys(server, cam, somebody, bucket):
    def told(client, **parameters):
        request = sts_models.QueryApiKeyRequest()
        request._deserialize(parameters)
        return {key.SecretId: key.Status for key in client.QueryApiKey(request).IdKeys}

    second = cam.CreateAccessKey(TargetUin=somebody.Uin).AccessKey.AccessKeyId
    cam.UpdateAccessKey(TargetUin=somebody.Uin, AccessKeyId=second, Status="Inactive")
    expected = {somebody.SecretId: 2, second: 3}
    assert told(sts_client(server), TargetUin=somebody.Uin) == expected
    sts = sts_client(server, id=somebody.SecretId, key=somebody.SecretKey)
    assert refused(lambda: told(sts)) == "AuthFailure.UnauthorizedOperation"
    may = policy(cam, {"action": ["sts:QueryApiKey", "cos:GetObject"]})
    cam.AttachUserPolicy(PolicyId=may, AttachUin=somebody.Uin)
    time.sleep(SEEN_S)
    assert told(sts) == expected

    # A temporary key of his own may do what he may.
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    request = sts_models.GetSessionTokenRequest()
    answer = sts.GetSessionToken(request)
    assert 1790 < answer.ExpiredTime - time.time() <= 1801
    key = answer.Credentials
    mine = make_client(server, key.TmpSecretId, key.TmpSecretKey, Token=key.Token)
    assert read(mine.get_object(Bucket=bucket, Key="a")) == b"seen"
    expect(cos_refused(mine.delete_object, Bucket=bucket, Key="a"), 403, "AccessDenied")
    own = sts_client(server, id=key.TmpSecretId, key=key.TmpSecretKey, token=key.Token)
    assert refused(own.GetSessionToken, request) == "FailedOperation.TempKeyNotAllowed"
    request.DurationSeconds = 129_601
    assert refused(sts.GetSessionToken, request) == "InvalidParameter.OverTimeError"
    request.DurationSeconds, request.TokenCode = 900, "123456"
    assert refused(sts.GetSessionToken, request) == "UnsupportedOperation"


def test_users_outlive_a_restart():
    server = harness.Server().start()
    cam = Cam(server)
    user = cam.AddUser(Name="keeper", UseApi=1)
    cam.AttachUserPolicy(PolicyId=policy(cam, {"action": "cos:*"}), AttachUin=user.Uin)
    assert server.stop() == 0
    server.start()
    assert make_client(server, user.SecretId, user.SecretKey).list_buckets()["Owner"]
    server.finish()
