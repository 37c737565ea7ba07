"""`costrel user`, `group`, `role`, `key` and `policy`, as an administrator runs them."""

import json
import subprocess
import time

import pytest

import harness
from test_aws_sts import UIN, client, iam_policy, keys, refused
from test_boto3 import refused as s3_refused
from test_decisions import as_s3, statement
from test_users import SEEN_S, Cam, unused


class Commands:
    """The commands as somebody runs them; what they say in JSON."""

    def __init__(self, server, id=harness.SECRET_ID, key=harness.SECRET_KEY):
        self.endpoint = ["--endpoint", f"http://127.0.0.1:{server.port}"]
        self.env = {"COSTREL_ROOT_SECRET_ID": id, "COSTREL_ROOT_SECRET_KEY": key}

    def run(self, *arguments, text=None):
        return subprocess.run(
            [harness.BINARY, *arguments, *self.endpoint],
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def __call__(self, *arguments, text=None):
        ran = self.run(*arguments, "--json", text=text)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        return json.loads(ran.stdout)

    def lines(self, *arguments):
        ran = self.run(*arguments)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        return ran.stdout.splitlines()

    def fails(self, *arguments, text=None):
        ran = self.run(*arguments, text=text)
        assert (ran.returncode, ran.stdout) == (1, ""), ran
        return ran.stderr


@pytest.fixture
def costrel(server):
    return Commands(server)


def reads(bucket):
    return iam_policy(
        statement("Reads", "Allow", "s3:*", resource=f"arn:aws:s3:::{bucket}/*"),
        statement("Lists", "Allow", "s3:*", resource=f"arn:aws:s3:::{bucket}"),
    )


def test_a_users_life(server, costrel, bucket, tmp_path):
    name, group, policy = unused("user"), unused("group"), unused("policy")
    made = costrel("user", "create", name)
    assert (made["UserName"], made["Arn"]) == (name, f"arn:aws:iam::{UIN}:user/{name}")
    assert costrel.fails("user", "create", name).endswith("(EntityAlreadyExists)\n")
    assert name in [user["UserName"] for user in costrel("user", "list")]
    key = costrel("key", "create", name)
    mine = as_s3(server, key["AccessKeyId"], key["SecretAccessKey"])
    assert s3_refused(mine.list_objects_v2, Bucket=bucket)[0] == 403

    document = tmp_path / "policy.json"
    document.write_text(reads(bucket))
    costrel("policy", "create", policy, str(document), "--description", "reads")
    assert costrel("policy", "show", policy)["Document"] == json.loads(reads(bucket))
    assert policy in [one["PolicyName"] for one in costrel("policy", "list")]
    costrel("group", "create", group)
    costrel("policy", "attach", policy, "--group", group)
    costrel("group", "add", group, name)
    time.sleep(SEEN_S)
    mine.put_object(Bucket=bucket, Key="a", Body=b"")
    # Another text counts from then on; the oldest of many gives way.
    document.write_text(iam_policy(statement("None", "Deny", "s3:*")))
    for number in range(2, 8):
        changed = costrel("policy", "update", policy, str(document))
        assert (changed["VersionId"], changed["IsDefaultVersion"]) == (f"v{number}", "true")
    assert costrel("policy", "show", policy)["Document"] == json.loads(document.read_text())
    time.sleep(SEEN_S)
    assert s3_refused(mine.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert "DeleteConflict" in costrel.fails("policy", "delete", policy)
    costrel("policy", "update", policy, "-", text=reads(bucket))
    versions = client(server, "iam").list_policy_versions(
        PolicyArn=f"arn:aws:iam::{UIN}:policy/{policy}"
    )["Versions"]
    assert sorted(one["VersionId"] for one in versions) == ["v4", "v5", "v6", "v7", "v8"]
    time.sleep(SEEN_S)

    shown = costrel("group", "show", group)
    assert (shown["Users"], shown["AttachedPolicies"]) == ([name], [policy])
    shown = costrel("user", "show", name)
    assert (shown["Groups"], shown["AttachedPolicies"]) == ([group], [])
    assert [one["AccessKeyId"] for one in shown["Keys"]] == [key["AccessKeyId"]]

    # A key is taken away and given back; then it goes.
    costrel("key", "disable", name, key["AccessKeyId"])
    assert [one["Status"] for one in costrel("key", "list", name)] == ["Inactive"]
    time.sleep(SEEN_S)
    assert s3_refused(mine.list_objects_v2, Bucket=bucket) == (403, "InvalidAccessKeyId")
    costrel("key", "enable", name, key["AccessKeyId"])
    time.sleep(SEEN_S)
    mine.list_objects_v2(Bucket=bucket)
    costrel("policy", "attach", policy, "--user", name)
    costrel("policy", "detach", policy, "--group", group)

    # For people.
    header, row = costrel.lines("key", "list", name)
    assert header.split() == ["AccessKeyId", "CreateDate", "LastUsed", "Status", "UserName"]
    assert row.split()[0] == key["AccessKeyId"] and row.split()[3:] == ["Active", name]
    lines = costrel.lines("user", "show", name)
    assert "AttachedPolicies" in lines and f"  {policy}" in lines

    assert "DeleteConflict" in costrel.fails("user", "delete", name)
    costrel("user", "delete", name, "--force")
    assert "NoSuchEntity" in costrel.fails("user", "show", name)
    costrel("group", "delete", group, "--force")
    costrel("policy", "delete", policy)
    assert f"no policy of the name {policy}" in costrel.fails("policy", "show", policy)


def test_roles_and_their_sessions(server, costrel, bucket):
    name, role, policy = unused("user"), unused("role"), unused("policy")
    costrel("user", "create", name)
    key = costrel("key", "create", name)
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust = iam_policy({**trust, "Principal": {"AWS": f"arn:aws:iam::{UIN}:user/{name}"}})
    made = costrel("role", "create", role, "-", "--session-duration", "7200", text=trust)
    assert made["AssumeRolePolicyDocument"] == json.loads(trust)
    costrel("policy", "create", policy, "-", text=reads(bucket))
    costrel("policy", "attach", policy, "--role", role)
    shown = costrel("role", "show", role)
    assert (shown["MaxSessionDuration"], shown["AttachedPolicies"]) == ("7200", [policy])
    assert role in [one["RoleName"] for one in costrel("role", "list")]

    sts = client(server, "sts", key["AccessKeyId"], key["SecretAccessKey"])

    def session(called):
        taken = sts.assume_role(RoleArn=made["Arn"], RoleSessionName=called)
        return as_s3(server, **keys(taken["Credentials"]))

    one, other = session("one"), session("other")
    one.list_objects_v2(Bucket=bucket)
    other.list_objects_v2(Bucket=bucket)
    # One session, then all until now.
    costrel("role", "revoke", role, "--session", "one")
    time.sleep(SEEN_S)
    assert s3_refused(one.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    other.list_objects_v2(Bucket=bucket)
    costrel("role", "revoke", role)
    time.sleep(SEEN_S)
    assert s3_refused(other.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    # Whoever takes it on now may go on.
    session("one").list_objects_v2(Bucket=bucket)
    # Until it trusts somebody else.
    costrel("role", "trust", role, "-", text=trust.replace(f"user/{name}", "root"))
    time.sleep(SEEN_S)
    assert refused(sts.assume_role, RoleArn=made["Arn"], RoleSessionName="one")[0] == 403
    assert "DeleteConflict" in costrel.fails("role", "delete", role)
    costrel("role", "delete", role, "--force")


def test_tokens_of_a_user(server, costrel, bucket):
    name, policy = unused("user"), unused("policy")
    costrel("user", "create", name)
    key = costrel("key", "create", name)
    costrel("policy", "create", policy, "-", text=reads(bucket))
    costrel("policy", "attach", policy, "--user", name)
    sts = client(server, "sts", key["AccessKeyId"], key["SecretAccessKey"])
    token = as_s3(server, **keys(sts.get_session_token()["Credentials"]))
    token.list_objects_v2(Bucket=bucket)
    costrel("user", "revoke", name)
    time.sleep(SEEN_S)
    assert s3_refused(token.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    # The permanent key is none, and new tokens are later.
    as_s3(server, key["AccessKeyId"], key["SecretAccessKey"]).list_objects_v2(Bucket=bucket)
    as_s3(server, **keys(sts.get_session_token()["Credentials"])).list_objects_v2(Bucket=bucket)


def test_what_goes_wrong(server, costrel, tmp_path):
    assert "no policy of the name" in costrel.fails("policy", "delete", "nowhere")
    malformed = costrel.fails("policy", "create", unused("policy"), "-", text="{}")
    assert malformed.endswith("(MalformedPolicyDocument)\n")
    assert "No such file" in costrel.fails("policy", "create", "p", str(tmp_path / "missing"))
    wrong = Commands(server, key="x" * 32)
    assert wrong.fails("user", "list").endswith("(SignatureDoesNotMatch)\n")
    costrel.env.pop("COSTREL_ROOT_SECRET_KEY")
    assert "the secret key" in costrel.fails("user", "list")
    costrel = Commands(server)
    costrel.endpoint = ["--endpoint", "http://127.0.0.1:1"]
    assert "no server answers at 127.0.0.1:1" in costrel.fails("user", "list")
    costrel.endpoint = ["--endpoint", "https://127.0.0.1:1"]
    assert "no server answers at 127.0.0.1:1" in costrel.fails("user", "list")
    missing = ["--ca-file", str(tmp_path / "missing")]
    assert f"{tmp_path / 'missing'}: " in costrel.fails("user", "list", *missing)
    costrel.endpoint = ["--endpoint", f"http://127.0.0.1:{server.console_port}"]
    assert "is no endpoint of COS and S3: 405" in costrel.fails("user", "list")
    costrel.endpoint = ["--endpoint", "somewhere"]
    assert "'somewhere' is no http:// or https:// URL" in costrel.fails("user", "list")


def test_somebody_who_may(server, costrel):
    """Whoever has a key that may, and nobody else."""
    name = unused("user")
    costrel("user", "create", name)
    key = costrel("key", "create", name)
    mine = Commands(server, key["AccessKeyId"], key["SecretAccessKey"])
    assert "(AccessDenied)" in mine.fails("user", "list")
    policy = unused("policy")
    costrel("policy", "create", policy, "-", text=iam_policy(statement("L", "Allow", "iam:List*")))
    costrel("policy", "attach", policy, "--user", name)
    time.sleep(SEEN_S)
    assert name in [user["UserName"] for user in mine("user", "list")]
    assert "(AccessDenied)" in mine.fails("user", "create", unused("user"))
    # Who may list keys need not learn when they were used, and may be told so by the user.
    other = unused("user")
    costrel("user", "create", other)
    costrel("key", "create", other)
    assert [one["LastUsed"] for one in mine("key", "list", other)] == ["unknown"]
    own, arn = unused("policy"), f"arn:aws:iam::{UIN}:user/"
    one = statement("One", "Allow", "iam:GetAccessKeyLastUsed", resource=arn + other)
    removes = statement("Removes", "Allow", "iam:Delete*", resource=arn + "*")
    costrel("policy", "create", own, "-", text=iam_policy(one, removes))
    costrel("policy", "attach", own, "--user", name)
    time.sleep(SEEN_S)
    assert [one["LastUsed"] for one in mine("key", "list", other)] == ["never"]
    assert [one["LastUsed"] for one in mine("key", "list", name)] == ["unknown"]
    mine("user", "delete", other, "--force")


def test_when_a_key_was_last_used():
    server = harness.Server().start()
    try:
        costrel = Commands(server)
        iam, cam = client(server, "iam"), Cam(server)
        costrel("user", "create", "ann")
        key = costrel("key", "create", "ann")
        id, secret = key["AccessKeyId"], key["SecretAccessKey"]
        never = iam.get_access_key_last_used(AccessKeyId=id)
        assert never["UserName"] == "ann"
        never = never["AccessKeyLastUsed"]
        assert (never.get("LastUsedDate"), never["ServiceName"], never["Region"]) == (
            None, "N/A", "N/A"
        )
        assert [one["LastUsed"] for one in costrel("key", "list", "ann")] == ["never"]
        # Who only knows its name has not used it.
        assert s3_refused(as_s3(server, id, "x" * 32).list_buckets)[0] == 403
        assert "LastUsedDate" not in iam.get_access_key_last_used(AccessKeyId=id)[
            "AccessKeyLastUsed"
        ]

        begun = int(time.time())
        s3_refused(as_s3(server, id, secret).list_buckets)
        for _ in range(2):
            used = iam.get_access_key_last_used(AccessKeyId=id)["AccessKeyLastUsed"]
            assert used["ServiceName"] == "s3"
            assert 0 <= used["LastUsedDate"].timestamp() - begun <= 5
            row = cam.GetSecurityLastUsed(SecretIdList=[id]).SecretIdLastUsedRows[0]
            assert row.SecretId == id and 0 <= row.LastSecretUsedDate - begun <= 5
            assert row.LastUsedDate == used["LastUsedDate"].strftime("%Y-%m-%d")
            # A server that was stopped in order has written it down.
            server.stop()
            server.start()
        costrel("key", "delete", "ann", id)
        assert refused(iam.get_access_key_last_used, AccessKeyId=id) == (404, "NoSuchEntity")
        root = iam.get_access_key_last_used(AccessKeyId=harness.SECRET_ID)
        assert "UserName" not in root
        assert root["AccessKeyLastUsed"]["ServiceName"] == "iam"
    finally:
        server.finish()
