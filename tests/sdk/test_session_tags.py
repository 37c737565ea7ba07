"""What is said of whoever has a role's key, for policies to ask about: tags, which go on to
further roles or do not, and who he is in truth.
"""

import json
import time

import pytest
from tencentcloud.sts.v20180813 import models

import harness
from issuer import EcKey, Issuer, token
from s3client import s3
from test_aws_sts import client, iam_policy, keys, refused
from test_boto3 import refused as s3_refused
from test_cloud_api import client as sts_client
from test_cloud_api import refused as cloud_refused
from test_users import SEEN_S, Cam, unused
from test_web_identity import sts_of, wanted

UIN = harness.OWNER_UIN
DENIED = (403, "AccessDenied")
ROOT = {"AWS": f"arn:aws:iam::{UIN}:root"}


def make_role(server, principal, actions, conditions=None, policy=None, **more):
    statement = {"Effect": "Allow", "Principal": principal, "Action": actions}
    if conditions:
        statement["Condition"] = conditions
    iam, name = client(server, "iam"), unused("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=iam_policy(statement), **more)
    if policy:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=iam_policy(policy))
    return name


def named(role, **more):
    arn = f"arn:aws:iam::{UIN}:role/{role}"
    return {"RoleArn": arn, "RoleSessionName": "somebody", **more}


def tags(**values):
    return [{"Key": name, "Value": value} for name, value in values.items()]


def home(bucket):
    """May read what is in the folder of his team."""
    folder = f"arn:aws:s3:::{bucket}/${{aws:PrincipalTag/team}}/*"
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": folder}


@pytest.fixture
def folders(server, bucket):
    for team in ("red", "blue"):
        s3(server).put_object(Bucket=bucket, Key=f"{team}/a", Body=team.encode())
    return bucket


def reads(server, credentials, bucket):
    """Whose folders somebody may read."""
    mine = client(server, "s3", **keys(credentials))
    seen = []
    for team in ("red", "blue"):
        try:
            seen.append(mine.get_object(Bucket=bucket, Key=f"{team}/a")["Body"].read().decode())
        except mine.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
    return seen


def test_a_session_has_its_tags(server, folders):
    sts = client(server, "sts")
    both = ["sts:AssumeRole", "sts:TagSession"]
    conditions = {
        "StringEquals": {"aws:RequestTag/team": ["red", "blue"]},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]},
    }
    role = make_role(server, ROOT, both, conditions, home(folders))
    for team in ("red", "blue"):
        answer = sts.assume_role(**named(role, Tags=tags(team=team)))
        assert reads(server, answer["Credentials"], folders) == [team]
        assert "SourceIdentity" not in answer
    for wrong in (tags(team="green"), tags(team="red", other="x"), tags(cost="red"), []):
        assert refused(sts.assume_role, **named(role, Tags=wrong)) == DENIED, wrong
    # Whoever may take on a role may not say what he likes of himself.
    plain = make_role(server, ROOT, "sts:AssumeRole", None, home(folders))
    assert refused(sts.assume_role, **named(plain, Tags=tags(team="red"))) == DENIED
    assert reads(server, sts.assume_role(**named(plain))["Credentials"], folders) == []
    # A role's own tag counts where its key has none, and gives way where it has.
    role = make_role(server, ROOT, both, None, home(folders), Tags=tags(Team="blue"))
    assert reads(server, sts.assume_role(**named(role))["Credentials"], folders) == ["blue"]
    answer = sts.assume_role(**named(role, Tags=tags(TEAM="red")))
    assert reads(server, answer["Credentials"], folders) == ["red"]
    for wrong in (
        tags(a="1", A="2"),
        tags(a="x" * 257),
        tags(**{"a" * 129: "x"}),
        tags(**{f"a{n}": "" for n in range(51)}),
    ):
        assert refused(sts.assume_role, **named(role, Tags=wrong)) == (400, "ValidationError")


def test_tags_that_go_on(server, folders):
    sts = client(server, "sts")
    both = ["sts:AssumeRole", "sts:TagSession"]
    every = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"}
    first = make_role(server, ROOT, both, None, every)
    second = make_role(server, ROOT, both, None, home(folders))
    stays = sts.assume_role(**named(first, Tags=tags(team="red")))
    mine = client(server, "sts", **keys(stays["Credentials"]))
    further = mine.assume_role(**named(second))["Credentials"]
    assert reads(server, further, folders) == []
    chosen = mine.assume_role(**named(second, Tags=tags(team="blue")))["Credentials"]
    assert reads(server, chosen, folders) == ["blue"]

    goes = sts.assume_role(**named(first, Tags=tags(team="red"), TransitiveTagKeys=["team"]))
    mine = client(server, "sts", **keys(goes["Credentials"]))
    further = mine.assume_role(**named(second))["Credentials"]
    assert reads(server, further, folders) == ["red"]
    other = named(second, Tags=tags(Team="blue"))
    assert refused(mine.assume_role, **other) == (400, "InvalidParameterValue")
    untagged = make_role(server, ROOT, "sts:AssumeRole", None, home(folders))
    assert refused(mine.assume_role, **named(untagged)) == DENIED
    unknown = named(first, Tags=tags(team="red"), TransitiveTagKeys=["other"])
    assert refused(sts.assume_role, **unknown) == (400, "ValidationError")


def test_who_somebody_is_in_truth(server, folders):
    sts = client(server, "sts")
    reads_all = {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "sts:*"],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceIdentity": "ann"}},
    }
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    role = make_role(
        server, ROOT, both, {"StringEquals": {"sts:SourceIdentity": ["ann", "bob"]}}, reads_all
    )
    answer = sts.assume_role(**named(role, SourceIdentity="ann"))
    assert answer["SourceIdentity"] == "ann"
    assert reads(server, answer["Credentials"], folders) == ["red", "blue"]
    bob = sts.assume_role(**named(role, SourceIdentity="bob"))["Credentials"]
    assert reads(server, bob, folders) == []
    assert refused(sts.assume_role, **named(role, SourceIdentity="eve")) == DENIED
    plain = make_role(server, ROOT, "sts:AssumeRole", None, reads_all)
    assert refused(sts.assume_role, **named(plain, SourceIdentity="ann")) == DENIED
    # It goes on with him, and stays.
    mine = client(server, "sts", **keys(answer["Credentials"]))
    assert mine.assume_role(**named(role))["SourceIdentity"] == "ann"
    changed = named(role, SourceIdentity="bob")
    assert refused(mine.assume_role, **changed) == (400, "ValidationError")


def test_users_have_theirs(server, folders):
    iam, name = client(server, "iam"), unused("user")
    iam.create_user(UserName=name, Tags=tags(team="blue"))
    iam.put_user_policy(
        UserName=name, PolicyName="own", PolicyDocument=iam_policy(home(folders))
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    mine = client(server, "s3", id=key["AccessKeyId"], key=key["SecretAccessKey"])
    assert mine.get_object(Bucket=folders, Key="blue/a")["Body"].read() == b"blue"
    assert s3_refused(mine.get_object, Bucket=folders, Key="red/a") == DENIED
    iam.tag_user(UserName=name, Tags=tags(team="red"))
    assert mine.get_object(Bucket=folders, Key="red/a")["Body"].read() == b"red"


def test_a_federated_user_has_some(server, folders):
    sts = client(server, "sts")
    policy = iam_policy(home(folders))
    answer = sts.get_federation_token(Name="browser", Policy=policy, Tags=tags(team="red"))
    assert reads(server, answer["Credentials"], folders) == ["red"]
    twice = tags(team="red") + tags(team="blue")
    assert refused(sts.get_federation_token, Name="browser", Tags=twice)[0] == 400
    # A user needs to be allowed to say them.
    iam, name = client(server, "iam"), unused("user")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    mine = client(server, "sts", id=key["AccessKeyId"], key=key["SecretAccessKey"])
    lets = {"Effect": "Allow", "Action": "sts:GetFederationToken", "Resource": "*"}
    tag = {"StringEquals": {"aws:RequestTag/team": "red"}}
    says = {**lets, "Action": "sts:TagSession", "Condition": tag}
    for statements, said, allowed in (
        ([lets], {}, True),
        ([lets], {"team": "red"}, False),
        ([lets, says], {"team": "red"}, True),
        ([lets, says], {"team": "blue"}, False),
    ):
        iam.put_user_policy(
            UserName=name, PolicyName="own", PolicyDocument=iam_policy(*statements, home(folders))
        )
        time.sleep(SEEN_S)
        asked = {"Name": "browser", "Policy": policy, **({"Tags": tags(**said)} if said else {})}
        if not allowed:
            assert refused(mine.get_federation_token, **asked) == DENIED, said
            continue
        credentials = mine.get_federation_token(**asked)["Credentials"]
        assert reads(server, credentials, folders) == list(said.values())


def test_tencents_roles_have_them(server, folders):
    """Tags of AssumeRole of Tencent Cloud's STS, and who he says that he is."""
    statement = {
        "effect": "allow",
        "action": ["name/sts:AssumeRole"],
        "principal": {"qcs": [f"qcs::cam::uin/{UIN}:root"]},
    }
    more = {**statement, "action": statement["action"] + ["name/sts:TagSession"]}
    more["action"] += ["name/sts:SetSourceIdentity"]
    name = unused("role")
    cam = Cam(server)
    cam.CreateRole(RoleName=name, PolicyDocument=json.dumps({"version": "2.0", "statement": [statement]}))
    iam = client(server, "iam")
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=iam_policy(home(folders)))

    def taken(signature="TC3-HMAC-SHA256", **said):
        request = models.AssumeRoleRequest()
        arn = f"qcs::cam::uin/{UIN}:roleName/{name}"
        request._deserialize({"RoleArn": arn, "RoleSessionName": "somebody", **said})
        return sts_client(server, signature=signature).AssumeRole(request).Credentials

    said = {"Tags": tags(team="red"), "SourceIdentity": UIN}
    assert cloud_refused(lambda: taken(**said)) == "UnauthorizedOperation"
    taken()
    cam.UpdateAssumeRolePolicy(
        RoleName=name, PolicyDocument=json.dumps({"version": "2.0", "statement": [more]})
    )
    for signature in ("TC3-HMAC-SHA256", "HmacSHA1"):
        got = taken(signature, **said)
        credentials = {
            "AccessKeyId": got.TmpSecretId,
            "SecretAccessKey": got.TmpSecretKey,
            "SessionToken": got.Token,
        }
        assert reads(server, credentials, folders) == ["red"]
    wrong = {"Tags": tags(team="red") * 2}
    assert cloud_refused(lambda: taken(**wrong)) == "InvalidParameter.ParamError"


def test_an_issuer_says_them(server, folders):
    issuer = Issuer()
    issuer.keys = [EcKey("key")]
    provider = client(server, "iam").create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=["costrel"], ThumbprintList=["0" * 40]
    )["OpenIDConnectProviderArn"]
    both = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]
    conditions = {
        "StringEquals": {"aws:RequestTag/team": "red"},
        "StringLike": {"sts:SourceIdentity": "robot-*"},
        "ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": ["team"]},
    }
    role = make_role(server, {"Federated": provider}, both, conditions, home(folders))
    plain = make_role(server, {"Federated": provider}, both[0], None, home(folders))

    def text(tags, identity="robot-1", transitive=("team",)):
        said = {"principal_tags": tags, "transitive_tag_keys": list(transitive)}
        claims = {"https://aws.amazon.com/tags": said}
        claims["https://aws.amazon.com/source_identity"] = identity
        return token(issuer.claims(**claims), issuer.keys[0])

    ask = sts_of(server).assume_role_with_web_identity
    answer = ask(**wanted(role, text({"team": ["red"]})))
    assert answer["SourceIdentity"] == "robot-1"
    assert reads(server, answer["Credentials"], folders) == ["red"]
    for wrong in (
        text({"team": ["blue"]}),
        text({"team": ["red"]}, "somebody"),
        text({"team": ["red"], "a": ["b"]}, transitive=["a"]),
        token(issuer.claims(), issuer.keys[0]),
    ):
        assert refused(ask, **wanted(role, wrong)) == DENIED
    assert refused(ask, **wanted(plain, text({"team": ["red"]}))) == DENIED
    for wrong in ({"team": "red"}, {"team": ["red", "blue"]}, {"team": []}, ["team"]):
        assert refused(ask, **wanted(role, text(wrong))) == (400, "InvalidIdentityToken")
    issuer.close()
