"""AWS IAM at the address of S3, through boto3: the objects that CAM has, too."""

import json
import time

import pytest

import harness
from s3client import s3
from test_aws_sts import UIN, client, iam_policy, keys, refused
from test_boto3 import refused as s3_refused
from test_users import SEEN_S, Cam, cam, policy, unused

__all__ = ["cam"]


@pytest.fixture
def iam(server):
    return client(server, "iam")


def allow(*actions, **more):
    return iam_policy({"Effect": "Allow", "Action": list(actions), "Resource": "*", **more})


def arn(kind, name):
    return f"arn:aws:iam::{UIN}:{kind}/{name}"


def key_of(iam, name):
    key = iam.create_access_key(UserName=name)["AccessKey"]
    assert (key["UserName"], key["Status"]) == (name, "Active")
    return {"id": key["AccessKeyId"], "key": key["SecretAccessKey"]}


GONE = (404, "NoSuchEntity")
TAKEN = (409, "EntityAlreadyExists")
IN_USE = (409, "DeleteConflict")
DENIED = (403, "AccessDenied")


def test_a_users_life(server, iam, cam):
    name = unused("user")
    made = iam.create_user(UserName=name)["User"]
    assert (made["UserName"], made["Path"], made["Arn"]) == (name, "/", arn("user", name))
    assert refused(iam.create_user, UserName=name) == TAKEN
    assert refused(iam.create_user, UserName="a b") == (400, "ValidationError")
    assert iam.get_user(UserName=name)["User"] == made
    assert name in [user["UserName"] for user in iam.list_users(MaxItems=1000)["Users"]]
    # The same one as CAM's.
    assert str(cam.GetUser(Name=name).Uin) == made["UserId"]

    key = key_of(iam, name)
    listed = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert [one["AccessKeyId"] for one in listed] == [key["id"]]
    mine = client(server, "sts", **key)
    assert mine.get_caller_identity()["Arn"] == made["Arn"]
    iam.update_access_key(UserName=name, AccessKeyId=key["id"], Status="Inactive")
    time.sleep(SEEN_S)
    assert refused(mine.get_caller_identity) == (403, "InvalidClientTokenId")
    key_of(iam, name)
    assert refused(iam.create_access_key, UserName=name) == (409, "LimitExceeded")
    assert refused(iam.delete_user, UserName=name) == IN_USE
    for one in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=one["AccessKeyId"])
    missing = refused(iam.delete_access_key, UserName=name, AccessKeyId=key["id"])
    assert missing == GONE
    iam.delete_user(UserName=name)
    assert refused(iam.get_user, UserName=name) == GONE
    assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{UIN}:root"


def test_pages(iam):
    names = {unused("paged") for _ in range(5)}
    for name in names:
        iam.create_user(UserName=name)
    pages = list(iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2}))
    assert len(pages) > 2 and all(len(page["Users"]) <= 2 for page in pages)
    seen = [user["UserName"] for page in pages for user in page["Users"]]
    assert len(seen) == len(set(seen)) and names <= set(seen)


def test_pages_of_all_lists(iam):
    """However long the pages are, they show all, once, in the order of names' bytes."""
    path, name = f"/{unused('paged')}/", unused("paged")
    names = [f"{name}{mark}" for mark in ("B", "a", "b", "aa", "c")]
    trust = iam_policy({"Effect": "Allow", "Principal": {"AWS": UIN}, "Action": "sts:AssumeRole"})
    iam.create_group(GroupName=name)
    held = iam.create_policy(PolicyName=name, PolicyDocument=allow("s3:GetObject"))["Policy"]["Arn"]
    for one in names:
        iam.create_user(UserName=one, Path=path)
        iam.create_group(GroupName=one, Path=path)
        iam.create_role(RoleName=one, Path=path, AssumeRolePolicyDocument=trust)
        iam.create_policy(PolicyName=one, Path=path, PolicyDocument=allow("s3:GetObject"))
        iam.add_user_to_group(GroupName=name, UserName=one)
        iam.attach_user_policy(UserName=one, PolicyArn=held)
        iam.attach_group_policy(GroupName=one, PolicyArn=held)
        iam.attach_role_policy(RoleName=one, PolicyArn=held)

    def listed(call, kind, size, **parameters):
        found, sizes = [], []
        for page in iam.get_paginator(call).paginate(
            PaginationConfig={"PageSize": size}, **parameters
        ):
            found += [one[kind + "Name"] for one in page[LISTS.get((call, kind), f"{kind}s")]]
            sizes.append(len(page[LISTS.get((call, kind), f"{kind}s")]))
        assert all(count <= size for count in sizes)
        return found

    entities = "list_entities_for_policy"
    LISTS = {(entities, kind): f"Policy{kind}s" for kind in ("User", "Group", "Role")}
    LISTS["list_policies", "Policy"] = "Policies"
    presets = listed("list_policies", "Policy", 1000, Scope="AWS")
    assert presets == sorted(presets) and len(presets) >= 5
    for size in (1, 2, 5, 1000):
        for call, kind in (
            ("list_users", "User"),
            ("list_groups", "Group"),
            ("list_roles", "Role"),
            ("list_policies", "Policy"),
        ):
            assert listed(call, kind, size, PathPrefix=path) == sorted(names), (call, size)
        assert sorted(listed("get_group", "User", size, GroupName=name)) == sorted(names)
        for kind in ("User", "Group", "Role"):
            assert sorted(listed(entities, kind, size, PolicyArn=held)) == sorted(names), kind
            of_kind = listed(entities, kind, size, PolicyArn=held, EntityFilter=kind)
            assert sorted(of_kind) == sorted(names)
        assert listed("list_policies", "Policy", size, Scope="AWS") == presets
        every = listed("list_policies", "Policy", size, Scope="All")
        local = listed("list_policies", "Policy", size, Scope="Local")
        assert every == presets + local and local == sorted(set(local)) and name in local
    attached = listed("list_policies", "Policy", 1, Scope="Local", OnlyAttached=True)
    assert name in attached and not set(names) & set(attached)
    for marker in ("User", "User/x", "Nobody/1", "1"):
        wrong = refused(iam.list_entities_for_policy, PolicyArn=held, Marker=marker)
        assert wrong == (400, "ValidationError"), marker
    assert refused(iam.get_group, GroupName=name, Marker="x") == (400, "ValidationError")


def test_names_of_a_holders_own_policies_are_in_order(iam):
    user = unused("user")
    iam.create_user(UserName=user)
    for name in ("MyPolicy", "AnotherPolicy", "a"):
        iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=allow("s3:GetObject"))
    listed = iam.list_user_policies(UserName=user)["PolicyNames"]
    assert listed == ["AnotherPolicy", "MyPolicy", "a"]


def test_whoever_is_made_is_shown_whole(iam):
    """What a maker asked for is in the answer, as `GetUser` and `GetRole` show it."""
    name, tags = unused("made"), [{"Key": "team", "Value": "blue"}]
    bounds = iam.create_policy(PolicyName=name, PolicyDocument=allow("s3:GetObject"))["Policy"]
    given = {"Tags": tags, "PermissionsBoundary": bounds["Arn"], "Path": "/a/"}
    user = iam.create_user(UserName=name, **given)["User"]
    assert user == iam.get_user(UserName=name)["User"] and user["Tags"] == tags
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == bounds["Arn"]
    trust = iam_policy({"Effect": "Allow", "Principal": {"AWS": UIN}, "Action": "sts:AssumeRole"})
    made = {"RoleName": name, "AssumeRolePolicyDocument": trust}
    role = iam.create_role(**made, Description="d", **given)["Role"]
    assert role == iam.get_role(RoleName=name)["Role"] and role["Tags"] == tags
    # A description can be taken away again.
    assert "Description" not in iam.update_role_description(RoleName=name, Description="")["Role"]
    iam.update_role(RoleName=name, Description="again")
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "again"
    iam.update_role(RoleName=name, Description="")
    assert "Description" not in iam.get_role(RoleName=name)["Role"]


def test_policies_of_a_users_own(server, iam, bucket):
    name = unused("user")
    iam.create_user(UserName=name)
    mine = client(server, "s3", **key_of(iam, name))
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED
    reads = allow("s3:GetObject")
    iam.put_user_policy(UserName=name, PolicyName="reads", PolicyDocument=reads)
    shown = iam.get_user_policy(UserName=name, PolicyName="reads")
    assert (shown["UserName"], shown["PolicyDocument"]) == (name, json.loads(reads))
    assert iam.list_user_policies(UserName=name)["PolicyNames"] == ["reads"]
    time.sleep(SEEN_S)
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert s3_refused(mine.delete_object, Bucket=bucket, Key="a") == DENIED
    wrong = refused(iam.put_user_policy, UserName=name, PolicyName="b", PolicyDocument="{}")
    assert wrong == (400, "MalformedPolicyDocument")
    long = allow(*["s3:GetObject"] * 700)
    much = refused(iam.put_user_policy, UserName=name, PolicyName="b", PolicyDocument=long)
    assert much == (409, "LimitExceeded")
    # Another one of the name takes its place.
    iam.put_user_policy(UserName=name, PolicyName="reads", PolicyDocument=allow("s3:ListBucket"))
    time.sleep(SEEN_S)
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED
    assert mine.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    iam.delete_user_policy(UserName=name, PolicyName="reads")
    assert refused(iam.delete_user_policy, UserName=name, PolicyName="reads") == GONE
    assert refused(iam.get_user_policy, UserName=name, PolicyName="reads") == GONE
    time.sleep(SEEN_S)
    assert s3_refused(mine.list_objects_v2, Bucket=bucket) == DENIED


def test_policies_that_are_attached(server, iam, cam, bucket):
    user, name = unused("user"), unused("policy")
    iam.create_user(UserName=user)
    mine = client(server, "s3", **key_of(iam, user))
    text = allow("s3:*")
    made = iam.create_policy(PolicyName=name, PolicyDocument=text, Description="all")["Policy"]
    assert (made["Arn"], made["AttachmentCount"]) == (arn("policy", name), 0)
    assert made["IsAttachable"] and made["DefaultVersionId"] == "v1"
    assert refused(iam.create_policy, PolicyName=name, PolicyDocument=text) == TAKEN
    iam.attach_user_policy(UserName=user, PolicyArn=made["Arn"])
    shown = iam.get_policy(PolicyArn=made["Arn"])["Policy"]
    assert (shown["AttachmentCount"], shown["Description"]) == (1, "all")
    version = iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(text) and version["IsDefaultVersion"]
    versions = iam.list_policy_versions(PolicyArn=made["Arn"])["Versions"]
    assert [one["VersionId"] for one in versions] == ["v1"]
    listed = iam.list_policies(Scope="Local", OnlyAttached=True, MaxItems=1000)["Policies"]
    assert made["Arn"] in [one["Arn"] for one in listed]
    attached = iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
    assert attached == [{"PolicyName": name, "PolicyArn": made["Arn"]}]
    assert cam.GetPolicy(PolicyId=int(made["PolicyId"])).PolicyDocument == text
    time.sleep(SEEN_S)
    mine.put_object(Bucket=bucket, Key="a", Body=b"mine")
    assert refused(iam.delete_policy, PolicyArn=made["Arn"]) == IN_USE
    assert refused(iam.delete_user, UserName=user) == IN_USE
    iam.detach_user_policy(UserName=user, PolicyArn=made["Arn"])
    time.sleep(SEEN_S)
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED
    again = refused(iam.detach_user_policy, UserName=user, PolicyArn=made["Arn"])
    assert again == GONE
    iam.delete_policy(PolicyArn=made["Arn"])
    assert refused(iam.get_policy, PolicyArn=made["Arn"]) == GONE
    assert refused(iam.get_policy, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess") == GONE


def test_groups(server, iam, bucket):
    user, group = unused("user"), unused("group")
    iam.create_user(UserName=user)
    mine = client(server, "s3", **key_of(iam, user))
    made = iam.create_group(GroupName=group)["Group"]
    assert (made["GroupName"], made["Arn"]) == (group, arn("group", group))
    assert refused(iam.create_group, GroupName=group) == TAKEN
    iam.add_user_to_group(GroupName=group, UserName=user)
    shown = iam.get_group(GroupName=group)
    assert [one["UserName"] for one in shown["Users"]] == [user]
    groups = iam.list_groups_for_user(UserName=user)["Groups"]
    assert [one["GroupName"] for one in groups] == [group]
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=allow("s3:ListBucket"))
    name = unused("policy")
    put = iam.create_policy(PolicyName=name, PolicyDocument=allow("s3:PutObject"))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName=group, PolicyArn=put)
    assert iam.list_group_policies(GroupName=group)["PolicyNames"] == ["p"]
    attached = iam.list_attached_group_policies(GroupName=group)["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == [put]
    time.sleep(SEEN_S)
    mine.put_object(Bucket=bucket, Key="a", Body=b"mine")
    assert mine.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED

    assert refused(iam.delete_group, GroupName=group) == IN_USE
    renamed = unused("group")
    iam.update_group(GroupName=group, NewGroupName=renamed)
    assert refused(iam.get_group, GroupName=group) == GONE
    iam.remove_user_from_group(GroupName=renamed, UserName=user)
    time.sleep(SEEN_S)
    assert s3_refused(mine.list_objects_v2, Bucket=bucket) == DENIED
    iam.delete_group_policy(GroupName=renamed, PolicyName="p")
    iam.detach_group_policy(GroupName=renamed, PolicyArn=put)
    iam.delete_group(GroupName=renamed)
    assert renamed not in [one["GroupName"] for one in iam.list_groups(MaxItems=1000)["Groups"]]


def test_roles(server, iam, bucket):
    user, role = unused("user"), unused("role")
    iam.create_user(UserName=user)
    sts = client(server, "sts", **key_of(iam, user))
    trust = json.dumps({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": arn("user", user)},
                "Action": "sts:AssumeRole",
            }
        ],
    })
    made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)["Role"]
    assert (made["Arn"], made["MaxSessionDuration"]) == (arn("role", role), 3600)
    shown = iam.get_role(RoleName=role)["Role"]
    assert shown["AssumeRolePolicyDocument"] == json.loads(trust)
    assert role in [one["RoleName"] for one in iam.list_roles(MaxItems=1000)["Roles"]]
    iam.update_role(RoleName=role, Description="audits", MaxSessionDuration=7200)
    shown = iam.get_role(RoleName=role)["Role"]
    assert (shown["Description"], shown["MaxSessionDuration"]) == ("audits", 7200)
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=allow("s3:PutObject"))
    text = iam.get_role_policy(RoleName=role, PolicyName="p")["PolicyDocument"]
    assert text == json.loads(allow("s3:PutObject"))

    # Whom a role names needs no policy of his own.
    wanted = {"RoleArn": made["Arn"], "RoleSessionName": "auditor"}
    mine = client(server, "s3", **keys(sts.assume_role(**wanted)["Credentials"]))
    mine.put_object(Bucket=bucket, Key="a", Body=b"mine")
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED
    root = trust.replace(arn("user", user), f"arn:aws:iam::{UIN}:root")
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=root)
    # Whom it does not name needs one.
    assert refused(sts.assume_role, **wanted) == DENIED
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": made["Arn"]}
    iam.put_user_policy(UserName=user, PolicyName="may", PolicyDocument=iam_policy(may))
    time.sleep(SEEN_S)
    sts.assume_role(**wanted)
    wrong = refused(iam.update_assume_role_policy, RoleName=role, PolicyDocument=allow("*"))
    assert wrong == (400, "MalformedPolicyDocument")

    assert refused(iam.delete_role, RoleName=role) == IN_USE
    iam.delete_role_policy(RoleName=role, PolicyName="p")
    assert iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"] == []
    iam.delete_role(RoleName=role)
    assert refused(iam.get_role, RoleName=role) == GONE
    time.sleep(SEEN_S)
    assert s3_refused(mine.put_object, Bucket=bucket, Key="a") == (400, "InvalidToken")


def test_who_may_administer(server, iam):
    user, other = unused("user"), unused("user")
    for name in (user, other):
        iam.create_user(UserName=name)
    key = key_of(iam, user)
    mine, cam = client(server, "iam", **key), Cam(server, key["id"], key["key"])
    assert refused(mine.list_users) == DENIED
    own = {
        "Effect": "Allow",
        "Action": ["iam:GetUser", "iam:*AccessKey*"],
        "Resource": "arn:aws:iam::*:user/${aws:username}",
    }
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=iam_policy(own))
    time.sleep(SEEN_S)
    for said in ({}, {"UserName": user}):
        assert mine.get_user(**said)["User"]["UserName"] == user
        assert len(mine.list_access_keys(**said)["AccessKeyMetadata"]) == 1
    assert refused(mine.get_user, UserName=other) == DENIED
    assert refused(mine.create_access_key, UserName=other) == DENIED
    assert refused(mine.list_users) == DENIED
    # What is denied by one name of an action is denied by the other one, too.
    deny = {"Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    text = iam_policy(everything, deny)
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=text)
    time.sleep(SEEN_S)
    assert cam.ListUsers().Data and mine.list_users()["Users"]
    assert refused(mine.create_user, UserName=unused("user")) == DENIED
    from test_cloud_api import refused as cam_refused

    refusal = cam_refused(lambda: cam.AddUser(Name=unused("user")))
    assert refusal == "AuthFailure.UnauthorizedOperation"


def test_a_cam_policy_is_attached_by_its_arn(server, iam, cam, bucket):
    user = unused("user")
    iam.create_user(UserName=user)
    made = policy(cam, {"action": "cos:*"})
    name = cam.GetPolicy(PolicyId=made).PolicyName
    iam.attach_user_policy(UserName=user, PolicyArn=arn("policy", name))
    mine = client(server, "s3", **key_of(iam, user))
    mine.put_object(Bucket=bucket, Key="a", Body=b"mine")


def test_all_of_it_outlives_a_restart():
    server = harness.Server().start()
    iam = client(server, "iam")
    iam.create_user(UserName="keeper")
    iam.put_user_policy(UserName="keeper", PolicyName="p", PolicyDocument=allow("s3:*"))
    key = key_of(iam, "keeper")
    assert server.stop() == 0
    server.start()
    assert client(server, "s3", **key).list_buckets()["Owner"]
    server.finish()
