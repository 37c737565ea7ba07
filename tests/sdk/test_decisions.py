"""What is decided, and by which statement: IAM's simulation through boto3, `costrel policy
explain`, and the audit log."""

import json
import os
import stat
import time

import pytest
import requests
from botocore import UNSIGNED
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

import harness
from cosclient import make_client
from issuer import RsaKey, token
from s3client import s3
from test_aws_sts import UIN, client, iam_policy, keys, refused
from test_boto3 import refused as s3_refused
from test_users import SEEN_S, Cam, policy, unused
from test_web_identity import issuer, make_role, provider, sts_of, trust, wanted

__all__ = ["issuer", "provider"]

DENIED = (403, "AccessDenied")


@pytest.fixture
def iam(server):
    return client(server, "iam")


def as_s3(server, id, key, token=None):
    return client(server, "s3", id, key, token, s3={"addressing_style": "virtual"})


def statement(sid, effect, *actions, resource="*", **more):
    return {"Sid": sid, "Effect": effect, "Action": list(actions), "Resource": resource, **more}


@pytest.fixture
def ann(iam, bucket):
    """A user who may read a bucket, but for a folder; and her key."""
    name = unused("user")
    iam.create_user(UserName=name)
    objects = f"arn:aws:s3:::{bucket}"
    iam.put_user_policy(
        UserName=name,
        PolicyName="reads",
        PolicyDocument=iam_policy(
            statement("Lists", "Allow", "s3:ListBucket", resource=objects),
            statement("Reads", "Allow", "s3:GetObject", resource=f"{objects}/*"),
            statement("NotThere", "Deny", "s3:*", resource=f"{objects}/secret/*"),
        ),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return name, {"id": key["AccessKeyId"], "key": key["SecretAccessKey"]}


def explain(server, *arguments):
    ran = server.operate("policy", "explain", *arguments)
    return ran.returncode, ran.stdout, ran.stderr


def explained(server, *arguments):
    """Whether it is allowed, and by what."""
    code, out, complaint = explain(server, "--json", *arguments)
    assert complaint == ""
    answer = json.loads(out)
    assert code == (0 if answer["allowed"] else 1)
    decision = answer["decision"]
    assert decision.pop("allowed") == answer["allowed"]
    return answer["allowed"], decision


def by(policy_of, policy, number, sid=None):
    decision = {"by": "statement", "policy_of": policy_of, "policy": policy, "statement": number}
    return decision if sid is None else {**decision, "sid": sid}


def test_explain(server, iam, bucket, ann):
    name, key = ann
    asked = ["--user", name, "--action", "s3:GetObject"]
    reads = (True, by("user", "reads", 2, "Reads"))
    assert explained(server, *asked, "--resource", f"{bucket}/a") == reads
    assert explained(server, *asked, "--resource", f"arn:aws:s3:::{bucket}/a") == reads
    assert explained(server, "--key", key["id"], *asked[2:], "--resource", f"{bucket}/a") == reads
    cam_name = ["--user", name, "--action", "name/cos:GetObject"]
    assert explained(server, *cam_name, "--resource", f"{bucket}/a") == reads
    not_there = (False, by("user", "reads", 3, "NotThere"))
    assert explained(server, *asked, "--resource", f"{bucket}/secret/a") == not_there
    writes = ["--user", name, "--action", "s3:PutObject", "--resource", f"{bucket}/a"]
    assert explained(server, *writes) == (False, {"by": "nothing"})
    root = ["--root", "--action", "s3:PutObject", "--resource", f"{bucket}/a"]
    assert explained(server, *root) == (True, {"by": "root"})
    nobody = ["--anonymous", "--action", "s3:GetObject", "--resource", f"{bucket}/a"]
    assert explained(server, *nobody) == (False, {"by": "nothing"})
    lists = ["--user", name, "--action", "s3:ListBucket", "--resource", bucket]
    assert explained(server, *lists) == (True, by("user", "reads", 1, "Lists"))
    adds = ["--user", name, "--action", "iam:CreateUser"]
    assert explained(server, *adds) == (False, {"by": "nothing"})

    code, out, _ = explain(server, *asked, "--resource", f"{bucket}/secret/a")
    first, place = out.splitlines()
    assert (code, first) == (1, "denied: statement 3 (NotThere) of the user's policy reads")
    assert place.strip().startswith("at line 1, column ")

    # What the vendors' commands call it; and what cannot be asked is not answered.
    assert explained(server, *asked, "--resource", f"s3://{bucket}/a") == reads
    assert explained(server, *lists[:-1], f"{bucket}/*") == (True, by("user", "reads", 1, "Lists"))
    for question, complaint in [
        ([*asked, "--resource", bucket], "s3:GetObject is about an object"),
        ([*cam_name, "--resource", f"{bucket}/"], "name/cos:GetObject is about an object"),
        ([*lists[:-1], f"{bucket}/a"], "s3:ListBucket is about a bucket"),
        (["--root", "--action", "sts:AssumeRole", "--resource", name], "is about a role"),
        (["--root", "--action", "sts:AssumeRole"], "is about a role"),
    ]:
        code, out, complained = explain(server, *question)
        assert (code, out) == (1, "") and complaint in complained, complained

    # A group's, a bucket's own in either grammar, an ACL, and what takes it back.
    group = unused("group")
    iam.create_group(GroupName=group)
    made = iam.create_policy(
        PolicyName=unused("policy"), PolicyDocument=iam_policy(statement("W", "Allow", "s3:Put*"))
    )["Policy"]
    iam.attach_group_policy(GroupName=group, PolicyArn=made["Arn"])
    iam.add_user_to_group(GroupName=group, UserName=name)
    assert explained(server, *writes) == (True, by("group", made["PolicyName"], 1, "W"))

    aws = s3(server)
    aws.put_object(Bucket=bucket, Key="a", Body=b"a", ACL="public-read")
    assert explained(server, *nobody) == (True, {"by": "grant"})
    assert explain(server, *nobody)[1] == (
        "allowed: a grant of READ to everybody in the object's ACL\n"
    )
    block = {"BlockPublicAcls": False, "BlockPublicPolicy": False}
    aws.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            **block, "IgnorePublicAcls": True, "RestrictPublicBuckets": True
        },
    )
    assert explained(server, *nobody) == (False, {"by": "public_access_block"})
    everybody = {"Principal": "*", **statement("All", "Allow", "s3:GetObject")}
    everybody["Resource"] = f"arn:aws:s3:::{bucket}/*"
    aws.put_bucket_policy(Bucket=bucket, Policy=iam_policy(everybody))
    assert explained(server, *nobody) == (False, {"by": "public_access_block"})
    aws.delete_public_access_block(Bucket=bucket)
    assert explained(server, *nobody) == (True, by("bucket", "s3", 1, "All"))

    # What a condition asks for is what is given.
    inside = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    iam.put_user_policy(
        UserName=name,
        PolicyName="deletes",
        PolicyDocument=iam_policy(statement("In", "Allow", "s3:DeleteObject", **inside)),
    )
    deletes = ["--user", name, "--action", "s3:DeleteObject", "--resource", f"{bucket}/a"]
    assert explained(server, *deletes) == (False, {"by": "nothing"})
    assert "unless given as --context: aws:sourceip" in explain(server, *deletes)[1]
    there = ["--context", "aws:SourceIp=10.1.2.3"]
    assert explained(server, *deletes, *there) == (True, by("user", "deletes", 1, "In"))
    elsewhere = ["--context", "aws:SourceIp=11.1.2.3"]
    assert explained(server, *deletes, *elsewhere) == (False, {"by": "nothing"})

    for wrong, why in [
        (["--user", "nobody", *asked[2:]], "no such user"),
        (["--user", name, "--action", "s3:Nothing"], "there is no action s3:Nothing"),
        ([*asked, "--resource", "nowhere-1/a"], "there is no bucket nowhere-1"),
        ([*asked, "--context", "aws:Nothing=1"], "there is no condition key aws:Nothing"),
    ]:
        code, out, complaint = explain(server, *wrong)
        assert (code, out) == (1, "") and why in complaint, complaint


def test_a_role_is_explained(server, iam):
    name, other = unused("user"), unused("role")
    iam.create_user(UserName=name)
    trust = {"Principal": {"AWS": f"arn:aws:iam::{UIN}:user/{name}"}}
    trust = {"Sid": "Trusted", "Effect": "Allow", "Action": "sts:AssumeRole", **trust}
    role = iam.create_role(RoleName=other, AssumeRolePolicyDocument=iam_policy(trust))["Role"]
    asked = ["--action", "sts:AssumeRole", "--resource", role["Arn"]]
    allowed = {"by": "statement", "policy_of": "trust", "statement": 1, "sid": "Trusted"}
    assert explained(server, "--user", name, *asked) == (True, allowed)
    stranger = unused("user")
    iam.create_user(UserName=stranger)
    silent = {"by": "silence", "policy_of": "trust"}
    assert explained(server, "--user", stranger, *asked) == (False, silent)


def results(answer):
    assert answer["IsTruncated"] is False
    return [
        (
            one["EvalActionName"],
            one["EvalDecision"],
            [
                (matched["SourcePolicyId"], matched["SourcePolicyType"])
                for matched in one["MatchedStatements"]
            ],
        )
        for one in answer["EvaluationResults"]
    ]


def test_simulation_of_a_user(server, iam, bucket, ann):
    name, _ = ann
    source = f"arn:aws:iam::{UIN}:user/{name}"
    asked = {"PolicySourceArn": source, "ResourceArns": [f"arn:aws:s3:::{bucket}/a"]}
    actions = ["s3:GetObject", "s3:PutObject"]
    answer = iam.simulate_principal_policy(ActionNames=actions, **asked)
    assert results(answer) == [
        ("s3:GetObject", "allowed", [("reads", "user")]),
        ("s3:PutObject", "implicitDeny", []),
    ]
    # Where the statement stands in the policy.
    text = json.dumps(iam.get_user_policy(UserName=name, PolicyName="reads")["PolicyDocument"])
    matched = answer["EvaluationResults"][0]["MatchedStatements"][0]
    start, end = matched["StartPosition"]["Column"], matched["EndPosition"]["Column"]
    assert json.loads(text[start - 1 : end])["Sid"] == "Reads"

    secret = {**asked, "ResourceArns": [f"arn:aws:s3:::{bucket}/secret/a"]}
    answer = iam.simulate_principal_policy(ActionNames=["s3:GetObject"], **secret)
    assert results(answer) == [("s3:GetObject", "explicitDeny", [("reads", "user")])]

    # With one that is tried before it is attached.
    tried = iam_policy(statement("New", "Allow", "s3:PutObject"))
    answer = iam.simulate_principal_policy(
        ActionNames=["s3:PutObject"], PolicyInputList=[tried], **asked
    )
    assert results(answer) == [("s3:PutObject", "allowed", [("PolicyInputList.1", "none")])]


def test_simulation_of_what_is_given(server, iam):
    inside = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    given = iam_policy(statement("In", "Allow", "s3:GetObject", Condition=inside))
    asked = {"PolicyInputList": [given], "ActionNames": ["s3:GetObject"]}
    answer = iam.simulate_custom_policy(**asked)
    assert results(answer) == [("s3:GetObject", "implicitDeny", [])]
    assert answer["EvaluationResults"][0]["MissingContextValues"] == ["aws:sourceip"]
    context = {"ContextKeyName": "aws:SourceIp", "ContextKeyType": "ip"}
    answer = iam.simulate_custom_policy(
        **asked, ContextEntries=[{**context, "ContextKeyValues": ["10.1.2.3"]}]
    )
    assert results(answer) == [("s3:GetObject", "allowed", [("PolicyInputList.1", "none")])]
    assert answer["EvaluationResults"][0]["MissingContextValues"] == []

    for wrong in (
        {"ActionNames": ["s3:Nothing"]},
        {"ContextEntries": [{**context, "ContextKeyName": "aws:Nothing", "ContextKeyValues": ["1"]}]},
    ):
        assert refused(iam.simulate_custom_policy, **{**asked, **wrong}) == (400, "InvalidInput")
    malformed = {**asked, "PolicyInputList": ["{}"]}
    assert refused(iam.simulate_custom_policy, **malformed) == (400, "MalformedPolicyDocument")


def test_simulation_has_limits(iam):
    """Policies are compared with whatever is given, which takes as long as both are."""
    given = iam_policy(statement("A", "Allow", "s3:*", resource="arn:aws:s3:::*aaab"))
    asked = {"PolicyInputList": [given], "ActionNames": ["s3:GetObject"]}
    context = {"ContextKeyName": "aws:UserAgent", "ContextKeyType": "string"}
    for name, wrong in (
        ("ActionNames", ["s3:GetObject" + "a" * 117]),
        ("ResourceArns", ["arn:aws:s3:::" + "a" * 2036]),
        ("ContextEntries", [{**context, "ContextKeyValues": ["a" * 4096, "b" * 4097]}]),
    ):
        tried = {**asked, name: wrong}
        assert refused(iam.simulate_custom_policy, **tried) == (400, "ValidationError"), name
    fits = "arn:aws:s3:::" + "a" * 2034 + "b"
    answer = iam.simulate_custom_policy(**asked, ResourceArns=[fits])
    assert results(answer) == [("s3:GetObject", "allowed", [("PolicyInputList.1", "none")])]

    # Page by page.
    actions = ["s3:GetObject", "s3:PutObject", "iam:ListUsers"]
    asked["ActionNames"] = actions
    pages = iam.get_paginator("simulate_custom_policy").paginate(
        **asked, ResourceArns=[fits], PaginationConfig={"PageSize": 2}
    )
    shown = [[one["EvalActionName"] for one in page["EvaluationResults"]] for page in pages]
    assert shown == [actions[:2], actions[2:]]


def test_simulation_knows_the_region(iam, server):
    """The one that a resource names, or that of the server."""
    here = {"StringEquals": {"aws:RequestedRegion": harness.REGION}}
    given = iam_policy(statement("Here", "Allow", "s3:GetObject", Condition=here))
    asked = {"PolicyInputList": [given], "ActionNames": ["s3:GetObject"]}
    for resource, decision in (
        ("arn:aws:s3:::b-1250000000/a", "allowed"),
        (f"qcs::cos:{harness.REGION}:uid/1250000000:b-1250000000/a", "allowed"),
        ("qcs::cos:ap-elsewhere:uid/1250000000:b-1250000000/a", "implicitDeny"),
    ):
        answer = iam.simulate_custom_policy(**asked, ResourceArns=[resource])
        assert [said for _, said, _ in results(answer)] == [decision], resource

    # Policies of CAM name regions in their resources.
    cam, name = Cam(server), unused("user")
    uin = cam.AddUser(Name=name).Uin
    resource = f"qcs::cos:{harness.REGION}:uid/{harness.APPID}:photos-{harness.APPID}/*"
    made = policy(cam, {"action": ["name/cos:GetObject"], "resource": resource})
    cam.AttachUserPolicy(PolicyId=made, AttachUin=uin)
    answer = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{UIN}:user/{name}",
        ActionNames=["s3:GetObject"],
        ResourceArns=[f"arn:aws:s3:::photos-{harness.APPID}/a"],
    )
    assert [said for _, said, _ in results(answer)] == ["allowed"]


def bounded(iam, user, *statements):
    """Gives a user a permissions boundary."""
    made = iam.create_policy(PolicyName=unused("policy"), PolicyDocument=iam_policy(*statements))
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=made["Policy"]["Arn"])
    return made["Policy"]["PolicyName"]


def test_a_boundary_is_cited(server, iam, bucket, ann):
    name, key = ann
    boundary = bounded(
        iam,
        name,
        statement("Lists", "Allow", "s3:ListBucket"),
        statement("Never", "Deny", "s3:DeleteObject"),
    )
    asked = ["--user", name, "--resource", f"{bucket}/a", "--action"]
    silent = {"by": "silence", "policy_of": "boundary", "policy": boundary}
    assert explained(server, *asked, "s3:GetObject") == (False, silent)
    in_words = f"no statement of the permissions boundary {boundary} allows it"
    assert explain(server, *asked, "s3:GetObject")[1] == f"denied: {in_words}\n"
    never = by("boundary", boundary, 2, "Never")
    assert explained(server, *asked, "s3:DeleteObject") == (False, never)
    lists = ["--user", name, "--action", "s3:ListBucket", "--resource", bucket]
    assert explained(server, *lists) == (True, by("user", "reads", 1, "Lists"))
    # It allows nothing by itself, and is no reason where nothing else does.
    assert explained(server, *asked, "s3:PutObject") == (False, {"by": "nothing"})

    time.sleep(SEEN_S)
    assert s3_refused(as_s3(server, **key).get_object, Bucket=bucket, Key="bounded") == DENIED
    line = audited(server, {"key": "bounded"})
    assert (line["by"], line["decision"]) == (in_words, {"allowed": False, **silent})


def test_a_boundary_may_ask_for_tags(server, iam, bucket, ann):
    name, key = ann
    red = {"StringEquals": {"s3:ExistingObjectTag/team": "red"}}
    bounded(iam, name, statement("Red", "Allow", "s3:GetObject", Condition=red))
    for team in ("red", "blue"):
        s3(server).put_object(Bucket=bucket, Key=team, Body=b"", Tagging=f"team={team}")
    time.sleep(SEEN_S)
    mine = as_s3(server, **key)
    assert mine.get_object(Bucket=bucket, Key="red")["Body"].read() == b""
    assert s3_refused(mine.get_object, Bucket=bucket, Key="blue") == DENIED


def test_simulation_within_a_boundary(server, iam, bucket, ann):
    name, _ = ann
    asked = {
        "PolicySourceArn": f"arn:aws:iam::{UIN}:user/{name}",
        "ActionNames": ["s3:GetObject"],
        "ResourceArns": [f"arn:aws:s3:::{bucket}/a"],
    }

    def simulated(call=iam.simulate_principal_policy, **more):
        answer = call(**asked, **more)
        [(_, decision, matched)] = results(answer)
        detail = answer["EvaluationResults"][0].get("PermissionsBoundaryDecisionDetail")
        return decision, matched, detail and detail["AllowedByPermissionsBoundary"]

    assert simulated() == ("allowed", [("reads", "user")], None)
    boundary = bounded(iam, name, statement("Lists", "Allow", "s3:ListBucket"))
    assert simulated() == ("implicitDeny", [], False)
    # One that is tried takes its place.
    reads = iam_policy(statement("Reads", "Allow", "s3:Get*"))
    tried = simulated(PermissionsBoundaryPolicyInputList=[reads])
    assert tried == ("allowed", [("reads", "user")], True)
    never = [statement("All", "Allow", "*"), statement("Never", "Deny", "s3:GetObject")]
    tried = simulated(PermissionsBoundaryPolicyInputList=[iam_policy(*never)])
    given = ("PermissionsBoundaryPolicyInputList.1", "none")
    assert tried == ("explicitDeny", [given], False)
    two = {**asked, "PermissionsBoundaryPolicyInputList": [reads, reads]}
    assert refused(iam.simulate_principal_policy, **two) == (400, "ValidationError")
    boundary = bounded(iam, name, *never)
    assert simulated() == ("explicitDeny", [(boundary, "user-managed")], False)

    # Of policies that are given alone, too; the user's own boundary has no say there.
    source = asked.pop("PolicySourceArn")
    custom = {"call": iam.simulate_custom_policy, "PolicyInputList": [reads], "CallerArn": source}
    assert simulated(**custom) == ("allowed", [("PolicyInputList.1", "none")], None)
    lists = iam_policy(statement("Lists", "Allow", "s3:ListBucket"))
    custom["PermissionsBoundaryPolicyInputList"] = [lists]
    assert simulated(**custom) == ("implicitDeny", [], False)


def test_whoever_is_simulated_is_named_with_his_path(iam):
    name = unused("user")
    iam.create_user(UserName=name, Path="/team/")

    def simulate(place):
        iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{UIN}:user/{place}", ActionNames=["s3:GetObject"]
        )

    simulate(f"team/{name}")
    for place in (name, f"other/{name}", f"team/team/{name}"):
        assert refused(simulate, place=place) == (404, "NoSuchEntity"), place


def test_sessions_are_told_by_when_they_were_issued(server, iam):
    """As policies do that end older sessions."""
    name = unused("user")
    iam.create_user(UserName=name)

    def deny_before(instant):
        older = {"DateLessThan": {"aws:TokenIssueTime": instant}}
        policy = iam_policy(
            statement("All", "Allow", "*"), statement("Older", "Deny", "*", Condition=older)
        )
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)

    deny_before("2020-01-01T00:00:00Z")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    permanent = {"id": key["AccessKeyId"], "key": key["SecretAccessKey"]}
    session = keys(client(server, "sts", **permanent).get_session_token()["Credentials"])
    for mine in (session, permanent):
        assert client(server, "iam", **mine).list_users()["Users"]
    deny_before("2100-01-01T00:00:00Z")
    time.sleep(SEEN_S)
    assert refused(client(server, "iam", **session).list_users) == DENIED
    # A permanent key was not issued at any time.
    assert client(server, "iam", **permanent).list_users()["Users"]


def audited(server, wanted):
    """The first line of the audit log that is as wanted."""
    path = os.path.join(server.data_dir, "audit.log")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for _ in range(100):
        with open(path) as log:
            for line in map(json.loads, log):
                if all(line.get(name) == value for name, value in wanted.items()):
                    return line
        time.sleep(0.05)
    raise AssertionError(f"nothing like {wanted}")


def test_audit(server, iam, bucket, ann):
    name, key = ann
    mine = as_s3(server, **key)
    assert s3_refused(mine.get_object, Bucket=bucket, Key="secret/a") == (403, "AccessDenied")
    line = audited(server, {"caller": f"arn:aws:iam::{UIN}:user/{name}", "key": "secret/a"})
    assert (line["service"], line["action"], line["outcome"]) == ("s3", "GetObject", "refused")
    assert (line["status"], line["code"], line["bucket"]) == (403, "AccessDenied", bucket)
    assert line["by"] == "statement 3 (NotThere) of the user's policy reads"
    assert line["decision"] == {"allowed": False, **by("user", "reads", 3, "NotThere")}
    assert (line["access_key_id"], line["source"].split(":")[0]) == (key["id"], "127.0.0.1")

    # Somebody who has not the secret.
    wrong = as_s3(server, id=key["id"], key="x" * 32)
    assert s3_refused(wrong.get_object, Bucket=bucket, Key="b")[0] == 403
    line = audited(server, {"code": "SignatureDoesNotMatch", "key": "b"})
    assert "caller" not in line and line["access_key_id"] == key["id"]

    # What administers is there when it is done, too.
    line = audited(server, {"action": "PutUserPolicy", "outcome": "done"})
    assert (line["service"], line["by"]) == (
        "iam", "the account's root, against whom nothing speaks"
    )
    assert line["about"]["PolicyName"]
    aws = s3(server)
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    line = audited(server, {"action": "PutBucketVersioning", "bucket": bucket})
    assert (line["outcome"], line["decision"]) == ("done", {"allowed": True, "by": "root"})
    added = unused("user")
    Cam(server).AddUser(Name=added, Remark="not in the log")
    audited(server, {"service": "cam", "action": "AddUser", "about": {"Name": added}})

    # A temporary key is told by whose it is.
    session = client(server, "sts", **key)
    theirs = keys(session.get_session_token()["Credentials"])
    assert s3_refused(as_s3(server, **theirs).get_object, Bucket=bucket, Key="secret/c")[0] == 403
    line = audited(server, {"key": "secret/c"})
    assert (line["issuer"], line["access_key_id"]) == (key["id"], theirs["id"])

    # What everybody does all the time is not.
    aws.put_object(Bucket=bucket, Key="plain", Body=b"")
    with open(os.path.join(server.data_dir, "audit.log")) as log:
        text = log.read()
    assert '"plain"' not in text and "not in the log" not in text
    for secret in (key["key"], theirs["key"], theirs["token"], harness.SECRET_KEY):
        assert secret not in text
    assert server.metric("costrel_audit_lines_dropped_total") == 0


def test_refused_keys_are_audited(server, iam, bucket, ann):
    """The answer to a request that deletes several objects is a success."""
    name, key = ann
    asked = {"Objects": [{"Key": key} for key in ("many/a", "many/b")]}
    answer = as_s3(server, **key).delete_objects(Bucket=bucket, Delete=asked)
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"] * 2
    line = audited(server, {"action": "DeleteObjects", "bucket": bucket})
    assert (line["outcome"], line["status"], line["code"]) == ("refused", 200, "AccessDenied")
    assert (line["key"], line["refused_keys"]) == ("many/a", 2)
    assert line["decision"] == {"allowed": False, "by": "nothing"}


def test_policies_that_are_kept_from_others_are_audited(server, bucket):
    aws = s3(server)
    anybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetBucketPolicy"}
    statements = [{**anybody, "Resource": f"arn:aws:s3:::{bucket}"}]
    document = {"Version": "2012-10-17", "Statement": statements}
    aws.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    anonymous = s3(server, signature=UNSIGNED)
    assert s3_refused(anonymous.get_bucket_policy, Bucket=bucket) == (405, "MethodNotAllowed")
    line = audited(server, {"action": "GetBucketPolicy", "bucket": bucket})
    assert (line["outcome"], line["code"]) == ("refused", "MethodNotAllowed")


def test_rights_that_come_with_an_object_are_audited(server, iam, bucket, ann):
    name, key = ann
    aws = s3(server)
    aws.put_object(Bucket=bucket, Key="rights/root", Body=b"", ACL="public-read")
    line = audited(server, {"action": "PutObject", "key": "rights/root"})
    assert (line["outcome"], line["decision"]) == ("done", {"allowed": True, "by": "root"})
    iam.put_user_policy(
        UserName=name,
        PolicyName="writes",
        PolicyDocument=iam_policy(
            statement("Puts", "Allow", "s3:PutObject", "s3:PutObjectAcl"),
        ),
    )
    time.sleep(SEEN_S)
    as_s3(server, **key).put_object(Bucket=bucket, Key="rights/ann", Body=b"", ACL="public-read")
    line = audited(server, {"action": "PutObject", "key": "rights/ann"})
    assert line["decision"] == {"allowed": True, **by("user", "writes", 1, "Puts")}
    # Of the owner alone, it is as any other.
    aws.put_object(Bucket=bucket, Key="rights/none", Body=b"", ACL="private")
    aws.put_object(Bucket=bucket, Key="rights/last", Body=b"", ACL="public-read")
    audited(server, {"key": "rights/last"})
    with open(os.path.join(server.data_dir, "audit.log")) as log:
        assert "rights/none" not in log.read()


def test_what_is_done_was_allowed(server, iam, ann):
    """Whoever asks to set a retention aside, and may not, may set one all the same."""
    name, key = ann
    aws, locked = s3(server), unused("locked") + f"-{harness.APPID}"
    aws.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    version = aws.put_object(Bucket=locked, Key="a", Body=b"")["VersionId"]
    iam.put_user_policy(
        UserName=name,
        PolicyName="retains",
        PolicyDocument=iam_policy(statement("Retains", "Allow", "s3:PutObjectRetention")),
    )
    time.sleep(SEEN_S)
    until = {"Mode": "GOVERNANCE", "RetainUntilDate": time.time() + 3600}
    mine = as_s3(server, **key)
    asked = {"Bucket": locked, "Key": "a", "BypassGovernanceRetention": True}
    mine.put_object_retention(**asked, Retention=until)
    line = audited(server, {"action": "PutObjectRetention", "bucket": locked})
    allowed = {"allowed": True, **by("user", "retains", 1, "Retains")}
    assert (line["outcome"], line["decision"]) == ("done", allowed)

    # It is not loosened.
    sooner = {**until, "RetainUntilDate": time.time() + 60}
    assert s3_refused(mine.put_object_retention, **asked, Retention=sooner) == DENIED
    line = audited(server, {"outcome": "refused", "bucket": locked})
    assert (line["action"], line["decision"]) == ("PutObjectRetention", allowed)
    aws.delete_object(Bucket=locked, Key="a", VersionId=version, BypassGovernanceRetention=True)
    aws.delete_bucket(Bucket=locked)


def test_what_no_request_to_iam_has_is_not_there(server, iam):
    """Conditions on what a service, a chain of requests or a second factor would say."""
    name = unused("user")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    mine = client(server, "iam", key["AccessKeyId"], key["SecretAccessKey"])
    absent = ("aws:MultiFactorAuthAge", "aws:MultiFactorAuthPresent", "aws:TokenIssueTime")
    absent += ("aws:SourceArn", "aws:SourceAccount")
    false = ("aws:PrincipalIsAWSService", "aws:ViaAWSService")
    iam.put_user_policy(
        UserName=name,
        PolicyName="p",
        PolicyDocument=iam_policy(
            statement(
                "Nothing",
                "Allow",
                "iam:ListUsers",
                Condition={
                    "Null": {key: "true" for key in absent},
                    "Bool": {key: "false" for key in false},
                },
            )
        ),
    )
    time.sleep(SEEN_S)
    assert mine.list_users()["Users"]


def test_whoever_brings_a_token_is_audited(server, issuer, provider):
    name = f"{issuer.url.split('://')[1]}:robot"
    text = token(issuer.claims(), issuer.keys[0])
    role = make_role(server, trust(provider))
    sts_of(server).assume_role_with_web_identity(**wanted(role, text))
    line = audited(server, {"action": "AssumeRoleWithWebIdentity", "outcome": "done"})
    trusted = {"by": "statement", "policy_of": "trust", "statement": 1}
    assert (line["caller"], line["decision"]) == (name, {"allowed": True, **trusted})
    asked = wanted(role, text)
    assert line["about"] == {n: asked[n] for n in ("RoleArn", "RoleSessionName")}

    host = name.removesuffix(":robot")
    other = make_role(server, trust(provider, {"StringEquals": {f"{host}:sub": "somebody"}}))
    asked = wanted(other, text)
    assert refused(sts_of(server).assume_role_with_web_identity, **asked) == DENIED
    line = audited(server, {"action": "AssumeRoleWithWebIdentity", "outcome": "refused"})
    silent = {"allowed": False, "by": "silence", "policy_of": "trust"}
    assert (line["caller"], line["decision"]) == (name, silent)

    # Whose token is not good is nobody.
    forged = token(issuer.claims(), RsaKey("first"))
    asked = wanted(role, forged)
    why = refused(sts_of(server).assume_role_with_web_identity, **asked)
    assert why == (400, "InvalidIdentityToken")
    line = audited(server, {"service": "sts", "code": "InvalidIdentityToken"})
    assert line["outcome"] == "refused" and "caller" not in line
    with open(os.path.join(server.data_dir, "audit.log")) as log:
        written = log.read()
    assert text not in written and forged not in written


def test_a_full_audit_log_is_put_aside():
    args = ["--audit-log-size", "4KiB", "--audit-log-files", "2"]
    server = harness.Server(args=args).start()
    try:
        iam = client(server, "iam")
        for n in range(60):
            iam.create_user(UserName=f"user{n}")
        time.sleep(0.5)
        names = sorted(name for name in os.listdir(server.data_dir) if name.startswith("audit"))
        assert names == ["audit.log", "audit.log.1", "audit.log.2"]
        for name in names:
            path = os.path.join(server.data_dir, name)
            assert 0 < os.path.getsize(path) <= 4096
            with open(path) as log:
                assert all(json.loads(line)["action"] == "CreateUser" for line in log)
    finally:
        server.finish()


def test_without_an_audit_log():
    server = harness.Server(args=["--audit-log", "off"]).start()
    try:
        client(server, "iam").create_user(UserName="ann")
        assert not os.path.exists(os.path.join(server.data_dir, "audit.log"))
    finally:
        server.finish()


def test_every_way_in_is_audited(server, bucket, ann):
    """Whoever has not the secret, by every form a signature has; pages, visitors, and
    whoever is not the operator."""
    name, key = ann
    wrong = {"id": key["id"], "key": "x" * 40}
    base = f"http://127.0.0.1:{server.port}"

    def line_of(service, action, **more):
        line = audited(server, {"service": service, "action": action, "outcome": "refused", **more})
        assert "caller" not in line, line
        return line

    def named(line):
        return line.get("access_key_id") == key["id"]

    form = as_s3(server, **wrong).generate_presigned_post(bucket, "form")["fields"]
    sent = requests.post(f"{base}/{bucket}", data=form, files={"file": b"x"})
    assert sent.status_code == 403, sent.text
    assert named(line_of("s3", "PostObject", code="SignatureDoesNotMatch"))
    link = s3(server, access_key=wrong["id"], secret_key=wrong["key"])
    link = link.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "linked"})
    assert requests.put(link, b"x").status_code == 403
    assert named(line_of("s3", "PutObject", key="linked"))
    cos = make_client(server, secret_id=wrong["id"], secret_key=wrong["key"])
    link = cos.get_presigned_url(Bucket=bucket, Key="cos-linked", Method="PUT")
    assert requests.put(link, b"x").status_code == 403
    assert named(line_of("cos", "PutObject", key="cos-linked"))
    assert refused(client(server, "iam", **wrong).create_user, UserName="x")[0] == 403
    assert named(line_of("iam", "CreateUser"))
    assert refused(client(server, "sts", **wrong).get_session_token)[0] == 403
    assert named(line_of("sts", "GetSessionToken"))
    for signature in ("TC3-HMAC-SHA256", "HmacSHA1"):
        action = "AddUser" if signature.startswith("TC3") else "DeleteUser"
        with pytest.raises(TencentCloudSDKException, match="SignatureFailure"):
            getattr(Cam(server, signature=signature, **wrong), action)(Name="x")
        assert named(line_of("cam", action, status=200))
    page = {"Origin": "http://page.example", "Access-Control-Request-Method": "GET"}
    assert requests.options(f"{base}/{bucket}/a", headers=page).status_code == 403
    assert line_of("s3", "PreflightObject", bucket=bucket)["by"] == "the bucket has no CORS rules"
    site = {"IndexDocument": {"Suffix": "index.html"}}
    s3(server).put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
    host = {"Host": f"{bucket}.s3-website.ap-guangzhou.amazonaws.com"}
    assert requests.get(f"{base}/hidden", headers=host).status_code == 403
    line_of("s3", "VisitWebsite", key="hidden")

    # The operator's own way in.
    console = f"http://127.0.0.1:{server.console_port}"
    assert requests.post(f"{console}/bill/reopen?month=2020-01").status_code == 403
    line = line_of("console", "bill", method="POST")
    assert (line["by"], line["about"]) == ("no pass of the operator's", {"month": "2020-01"})
    assert requests.get(f"{console}/policy/explain?action=x").status_code == 403
    line_of("console", "policy explain")
    assert server.operate("bill", "reopen", "2020-02").returncode == 1
    line = audited(server, {"service": "console", "about": {"month": "2020-02"}})
    assert (line["caller"], line["outcome"], line["status"]) == ("the operator", "failed", 409)
