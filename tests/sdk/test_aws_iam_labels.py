"""What AWS IAM has beside CAM: paths, tags, versions of policies, permissions boundaries,
policies that are there from the beginning; as the Terraform provider uses them."""

import json
import time

import pytest

import harness
from s3client import s3
from test_aws_iam import DENIED, GONE, IN_USE, TAKEN, allow, arn, key_of
from test_aws_sts import UIN, client, iam_policy, keys, refused
from test_boto3 import refused as s3_refused
from test_users import SEEN_S, cam, policy, unused

__all__ = ["cam"]


@pytest.fixture
def iam(server):
    return client(server, "iam")


def trust(who=f"arn:aws:iam::{UIN}:root"):
    statement = {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "sts:AssumeRole"}
    return iam_policy(statement)


MALFORMED = (400, "ValidationError")


def test_paths(server, iam, cam):
    name, team = unused("x"), f"/{unused('team')}/"
    path, document = team + "a/", allow("s3:*")
    made = iam.create_user(UserName=name, Path=path)["User"]
    assert (made["Path"], made["Arn"]) == (path, f"arn:aws:iam::{UIN}:user{path}{name}")
    group = iam.create_group(GroupName=name, Path=path)["Group"]
    assert group["Arn"] == f"arn:aws:iam::{UIN}:group{path}{name}"
    role = {"RoleName": name, "Path": path, "AssumeRolePolicyDocument": trust()}
    assert iam.create_role(**role)["Role"]["Arn"] == f"arn:aws:iam::{UIN}:role{path}{name}"
    own = iam.create_policy(PolicyName=name, Path=path, PolicyDocument=document)["Policy"]
    assert (own["Path"], own["Arn"]) == (path, f"arn:aws:iam::{UIN}:policy{path}{name}")
    # Names are unique whatever the path is.
    assert refused(iam.create_user, UserName=name, Path="/") == TAKEN
    for wrong in ("a", "/a", "a/", "/a b/"):
        assert refused(iam.create_user, UserName=unused("x"), Path=wrong) == MALFORMED
    # A policy is known by all of its name.
    assert refused(iam.get_policy, PolicyArn=arn("policy", name)) == GONE
    assert iam.get_policy(PolicyArn=own["Arn"])["Policy"]["PolicyName"] == name

    other = unused("a")
    iam.create_user(UserName=other, Path=team)
    for prefix, expected in (
        (team, [other, name]),
        (team + "a", [name]),
        (path, [name]),
        (path + "b", []),
        (team.upper(), []),
    ):
        for size in (1, 100):
            pages = iam.get_paginator("list_users").paginate(
                PathPrefix=prefix, PaginationConfig={"PageSize": size}
            )
            shown = [user["UserName"] for page in pages for user in page["Users"]]
            assert shown == expected, prefix
    assert [g["GroupName"] for g in iam.list_groups(PathPrefix=path)["Groups"]] == [name]
    assert [r["RoleName"] for r in iam.list_roles(PathPrefix=path)["Roles"]] == [name]
    assert [p["Arn"] for p in iam.list_policies(PathPrefix=path)["Policies"]] == [own["Arn"]]
    # CAM knows them by their names.
    assert str(cam.GetUser(Name=name).Uin) == made["UserId"]

    taken = f"arn:aws:iam::{UIN}:role{path}{name}"
    wanted = {"RoleSessionName": "me"}
    sts = client(server, "sts")
    assert refused(sts.assume_role, RoleArn=arn("role", name), **wanted) == DENIED
    answer = sts.assume_role(RoleArn=taken, **wanted)
    assert answer["AssumedRoleUser"]["Arn"].endswith(f":assumed-role/{name}/me")

    renamed = unused("y")
    iam.update_user(UserName=name, NewUserName=renamed, NewPath=team)
    shown = iam.get_user(UserName=renamed)["User"]
    assert (shown["UserId"], shown["Path"]) == (made["UserId"], team)
    assert refused(iam.get_user, UserName=name) == GONE
    assert refused(iam.update_user, UserName=renamed, NewUserName=other) == TAKEN
    iam.update_group(GroupName=name, NewPath=team, NewGroupName=renamed)
    assert iam.get_group(GroupName=renamed)["Group"]["Arn"].endswith(f":group{team}{renamed}")


def test_policies_judge_by_paths(server, iam):
    name, team = unused("x"), f"/{unused('team')}/"
    admin = unused("admin")
    iam.create_user(UserName=admin)
    mine = client(server, "iam", **key_of(iam, admin))
    there = {
        "Effect": "Allow",
        "Action": ["iam:*User", "iam:CreateAccessKey"],
        "Resource": f"arn:aws:iam::{UIN}:user{team}*",
    }
    deny = {**there, "Effect": "Deny", "Resource": f"arn:aws:iam::{UIN}:user{team}root/*"}
    iam.put_user_policy(
        UserName=admin, PolicyName="p", PolicyDocument=iam_policy(there, deny)
    )
    time.sleep(SEEN_S)
    assert refused(mine.create_user, UserName=name) == DENIED
    assert refused(mine.create_user, UserName=name, Path=team + "root/") == DENIED
    mine.create_user(UserName=name, Path=team)
    assert mine.get_user(UserName=name)["User"]["Path"] == team
    # Nobody moves what he may not have there, nor to where he may not.
    iam.create_user(UserName=unused("z"), Path=team + "root/")
    assert refused(mine.update_user, UserName=name, NewPath="/") == DENIED
    assert refused(mine.update_user, UserName=name, NewPath=team + "root/") == DENIED
    mine.update_user(UserName=name, NewPath=team + "b/")
    iam.update_user(UserName=name, NewPath=team + "root/")
    for call in (mine.get_user, mine.delete_user, mine.create_access_key):
        assert refused(call, UserName=name) == DENIED
    assert refused(mine.update_user, UserName=name, NewPath=team) == DENIED


TAGS = [{"Key": "cost", "Value": "1"}, {"Key": "team", "Value": "a b"}]


@pytest.mark.parametrize("kind", ["user", "role", "policy", "provider"])
def test_tags(iam, kind):
    name = unused(kind)
    if kind == "user":
        iam.create_user(UserName=name, Tags=TAGS)
        named, show = {"UserName": name}, iam.get_user
        calls = iam.tag_user, iam.untag_user, iam.list_user_tags
    elif kind == "role":
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(), Tags=TAGS)
        named, show = {"RoleName": name}, iam.get_role
        calls = iam.tag_role, iam.untag_role, iam.list_role_tags
    elif kind == "provider":
        made = iam.create_open_id_connect_provider(Url=f"https://{name}.example.com", Tags=TAGS)
        assert made.pop("Tags") == TAGS
        named = {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}

        def show(**named):
            return {"Provider": iam.get_open_id_connect_provider(**named)}

        calls = (
            iam.tag_open_id_connect_provider,
            iam.untag_open_id_connect_provider,
            iam.list_open_id_connect_provider_tags,
        )
    else:
        made = iam.create_policy(PolicyName=name, PolicyDocument=allow("s3:*"), Tags=TAGS)
        named, show = {"PolicyArn": made["Policy"]["Arn"]}, iam.get_policy
        calls = iam.tag_policy, iam.untag_policy, iam.list_policy_tags
    tag, untag, listed = calls
    assert show(**named)[kind.capitalize()]["Tags"] == TAGS
    assert listed(**named)["Tags"] == TAGS
    tag(**named, Tags=[{"Key": "cost", "Value": ""}, {"Key": "new", "Value": "n"}])
    untag(**named, TagKeys=["team", "nothing"])
    expected = [{"Key": "cost", "Value": ""}, {"Key": "new", "Value": "n"}]
    assert listed(**named)["Tags"] == expected
    first = listed(**named, MaxItems=1)
    assert first["IsTruncated"] and first["Tags"] == expected[:1]
    assert listed(**named, Marker=first["Marker"])["Tags"] == expected[1:]
    many = [{"Key": str(n), "Value": ""} for n in range(49)]
    assert refused(tag, **named, Tags=many) == (409, "LimitExceeded")
    assert refused(tag, **named, Tags=[{"Key": "k" * 129, "Value": ""}])[0] == 400
    twice = [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]
    assert refused(tag, **named, Tags=twice) == MALFORMED
    assert listed(**named)["Tags"] == expected
    missing = {next(iter(named)): named[next(iter(named))] + "x"}
    assert refused(listed, **missing) == GONE


def test_versions_of_a_policy(server, iam, bucket):
    user, name = unused("user"), unused("policy")
    iam.create_user(UserName=user)
    mine = client(server, "s3", **key_of(iam, user))
    reads, lists = allow("s3:GetObject"), allow("s3:ListBucket")
    named = {"PolicyArn": iam.create_policy(PolicyName=name, PolicyDocument=reads)["Policy"]["Arn"]}
    iam.attach_user_policy(UserName=user, **named)
    made = iam.create_policy_version(**named, PolicyDocument=lists)["PolicyVersion"]
    assert (made["VersionId"], made["IsDefaultVersion"]) == ("v2", False)
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    time.sleep(SEEN_S)
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    iam.set_default_policy_version(**named, VersionId="v2")
    time.sleep(SEEN_S)
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED
    assert mine.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    for version, text in (("v1", reads), ("v2", lists)):
        shown = iam.get_policy_version(**named, VersionId=version)["PolicyVersion"]
        assert shown["Document"] == json.loads(text)
        assert shown["IsDefaultVersion"] == (version == "v2")
    assert iam.get_policy(**named)["Policy"]["DefaultVersionId"] == "v2"
    made = iam.create_policy_version(**named, PolicyDocument=reads, SetAsDefault=True)
    assert made["PolicyVersion"]["VersionId"] == "v3"
    time.sleep(SEEN_S)
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    for _ in range(2):
        iam.create_policy_version(**named, PolicyDocument=reads)
    more = refused(iam.create_policy_version, **named, PolicyDocument=reads)
    assert more == (409, "LimitExceeded")
    wrong = refused(iam.create_policy_version, **named, PolicyDocument="{}")
    assert wrong == (400, "MalformedPolicyDocument")
    listed = iam.list_policy_versions(**named)["Versions"]
    assert [one["VersionId"] for one in listed] == ["v5", "v4", "v3", "v2", "v1"]
    assert refused(iam.delete_policy_version, **named, VersionId="v3") == IN_USE
    assert refused(iam.delete_policy_version, **named, VersionId="v9") == GONE
    assert refused(iam.get_policy_version, **named, VersionId="3") == MALFORMED
    iam.detach_user_policy(UserName=user, **named)
    assert refused(iam.delete_policy, **named) == IN_USE
    for version in ("v1", "v2", "v4", "v5"):
        iam.delete_policy_version(**named, VersionId=version)
    iam.delete_policy(**named)
    assert refused(iam.list_policy_versions, **named) == GONE


@pytest.mark.parametrize("kind", ["user", "role", "new user"])
def test_a_boundary_is_obeyed(server, iam, bucket, kind):
    name, other = unused("x"), unused("policy")
    boundary = iam.create_policy(
        PolicyName=other, PolicyDocument=allow("s3:GetObject", "s3:ListBucket")
    )["Policy"]["Arn"]
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    everything = allow("*")
    if kind == "role":
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=everything)
        iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
        shown = iam.get_role(RoleName=name)["Role"]
        taken = client(server, "sts").assume_role(RoleArn=shown["Arn"], RoleSessionName="me")
        key = keys(taken["Credentials"])
    else:
        more = {"PermissionsBoundary": boundary} if kind == "new user" else {}
        iam.create_user(UserName=name, **more)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=everything)
        if kind == "user":
            iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
        shown, key = iam.get_user(UserName=name)["User"], key_of(iam, name)
    assert shown["PermissionsBoundary"] == {
        "PermissionsBoundaryType": "Policy",
        "PermissionsBoundaryArn": boundary,
    }
    mine, mine_iam = client(server, "s3", **key), client(server, "iam", **key)
    time.sleep(SEEN_S)
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert s3_refused(mine.put_object, Bucket=bucket, Key="a") == DENIED
    assert refused(mine_iam.list_users) == DENIED
    assert refused(iam.delete_policy, PolicyArn=boundary) == IN_USE
    assert iam.get_policy(PolicyArn=boundary)["Policy"]["PermissionsBoundaryUsageCount"] == 1
    # What a bucket allows a user is not limited; what it allows a role is.
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": shown["Arn"]},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3(server).put_bucket_policy(Bucket=bucket, Policy=iam_policy(statement))
    if kind == "role":
        assert s3_refused(mine.put_object, Bucket=bucket, Key="a") == DENIED
        iam.delete_role_permissions_boundary(RoleName=name)
        gone = refused(iam.delete_role_permissions_boundary, RoleName=name)
    else:
        mine.put_object(Bucket=bucket, Key="b", Body=b"")
        iam.delete_user_permissions_boundary(UserName=name)
        gone = refused(iam.delete_user_permissions_boundary, UserName=name)
    assert gone == GONE
    time.sleep(SEEN_S)
    mine.delete_object(Bucket=bucket, Key="a")
    assert mine_iam.list_users()["Users"]


def test_policies_that_are_there_from_the_beginning(server, iam, bucket):
    listed = iam.list_policies(Scope="AWS")["Policies"]
    arns = [one["Arn"] for one in listed]
    full = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    assert full in arns and "arn:aws:iam::aws:policy/IAMReadOnlyAccess" in arns
    local = iam.list_policies(Scope="Local", MaxItems=1000)["Policies"]
    assert not set(arns) & {one["Arn"] for one in local}
    shown = iam.get_policy_version(PolicyArn=full, VersionId="v1")["PolicyVersion"]
    assert shown["Document"]["Statement"][0]["Action"] == "s3:*"
    name = unused("user")
    iam.create_user(UserName=name)
    key = key_of(iam, name)
    mine = client(server, "s3", **key)
    assert s3_refused(mine.list_objects_v2, Bucket=bucket) == DENIED
    iam.attach_user_policy(UserName=name, PolicyArn=full)
    attached = iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonS3FullAccess", "PolicyArn": full}]
    entities = iam.list_entities_for_policy(PolicyArn=full)["PolicyUsers"]
    assert name in [one["UserName"] for one in entities]
    time.sleep(SEEN_S)
    assert mine.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert refused(client(server, "iam", **key).list_users) == DENIED
    named = {"PolicyArn": full}
    assert refused(iam.delete_policy, **named) == DENIED
    text = {"PolicyDocument": allow("*"), "SetAsDefault": True}
    assert refused(iam.create_policy_version, **named, **text) == DENIED
    assert refused(iam.tag_policy, **named, Tags=TAGS) == DENIED


def test_whom_a_policy_is_attached_to(iam):
    name, path = unused("x"), f"/{unused('team')}/"
    made = iam.create_policy(PolicyName=name, PolicyDocument=allow("s3:*"))["Policy"]["Arn"]
    iam.create_user(UserName=name)
    iam.create_user(UserName=name + "2", Path=path)
    iam.create_group(GroupName=name)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())
    iam.attach_user_policy(UserName=name, PolicyArn=made)
    iam.attach_user_policy(UserName=name + "2", PolicyArn=made)
    iam.attach_group_policy(GroupName=name, PolicyArn=made)
    iam.attach_role_policy(RoleName=name, PolicyArn=made)

    def shown(**more):
        answer = iam.list_entities_for_policy(PolicyArn=made, **more)
        kinds = ("User", "Group", "Role")
        return [one[f"{kind}Name"] for kind in kinds for one in answer[f"Policy{kind}s"]]

    assert sorted(shown()) == sorted([name, name + "2", name, name])
    assert shown(EntityFilter="Role") == [name]
    assert shown(PathPrefix=path) == [name + "2"]
    assert shown(PolicyUsageFilter="PermissionsBoundary") == []
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=made)
    assert shown(PolicyUsageFilter="PermissionsBoundary") == [name]
    pages = iam.get_paginator("list_entities_for_policy").paginate(
        PolicyArn=made, PaginationConfig={"PageSize": 1}
    )
    assert len(list(pages)) == 4


def test_everything_in_one_list(iam):
    name, path = unused("x"), f"/{unused('team')}/"
    made = iam.create_policy(PolicyName=name, PolicyDocument=allow("s3:Get*"))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=made, PolicyDocument=allow("s3:*"), SetAsDefault=True)
    iam.create_group(GroupName=name)
    iam.create_user(UserName=name, Path=path, Tags=TAGS, PermissionsBoundary=made)
    iam.add_user_to_group(GroupName=name, UserName=name)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(), Tags=TAGS)
    own = json.loads(allow("s3:ListBucket"))
    for put, attach, kind in (
        (iam.put_user_policy, iam.attach_user_policy, "UserName"),
        (iam.put_group_policy, iam.attach_group_policy, "GroupName"),
        (iam.put_role_policy, iam.attach_role_policy, "RoleName"),
    ):
        put(**{kind: name}, PolicyName="own", PolicyDocument=json.dumps(own))
        attach(**{kind: name}, PolicyArn=made)

    def everything(**more):
        """All pages' lists, put together."""
        lists = {"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": []}
        marker = {}
        while True:
            page = iam.get_account_authorization_details(**more, **marker)
            for kind, list_ in lists.items():
                list_.extend(page[kind])
            if not page["IsTruncated"]:
                return lists
            assert sum(len(page[kind]) for kind in lists) <= more.get("MaxItems", 100)
            marker = {"Marker": page["Marker"]}

    def only(list_, kind):
        return next(one for one in list_ if one[kind] == name)

    lists = everything()
    inline = [{"PolicyName": "own", "PolicyDocument": own}]
    attached = [{"PolicyName": name, "PolicyArn": made}]
    user = only(lists["UserDetailList"], "UserName")
    assert (user["Path"], user["GroupList"], user["Tags"]) == (path, [name], TAGS)
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == made
    group = only(lists["GroupDetailList"], "GroupName")
    role = only(lists["RoleDetailList"], "RoleName")
    assert role["AssumeRolePolicyDocument"] == json.loads(trust()) and role["Tags"] == TAGS
    for one, kind in ((user, "User"), (group, "Group"), (role, "Role")):
        assert (one[f"{kind}PolicyList"], one["AttachedManagedPolicies"]) == (inline, attached)
    shown = only(lists["Policies"], "PolicyName")
    assert (shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"]) == (3, 1)
    versions = {one["VersionId"]: one for one in shown["PolicyVersionList"]}
    assert versions["v2"]["IsDefaultVersion"] and not versions["v1"]["IsDefaultVersion"]
    assert versions["v1"]["Document"] == json.loads(allow("s3:Get*"))
    assert "AdministratorAccess" in [one["PolicyName"] for one in lists["Policies"]]
    # The pages are the same, however long, and the filters leave out the others.
    assert everything(MaxItems=7) == lists
    wanted = everything(Filter=["Role", "LocalManagedPolicy"], MaxItems=3)
    assert wanted["RoleDetailList"] == lists["RoleDetailList"]
    assert wanted["UserDetailList"] == wanted["GroupDetailList"] == []
    assert "AdministratorAccess" not in [one["PolicyName"] for one in wanted["Policies"]]
    for wrong in ({"Marker": "x"}, {"Marker": "User/a", "Filter": ["Role"]}, {"Marker": "Role"}):
        assert refused(iam.get_account_authorization_details, **wrong)[0] == 400, wrong


def test_what_is_done_to_somebody_may_depend_on_his_tags(server, iam):
    """`aws:ResourceTag`, and `iam:ResourceTag`, which means the same."""
    admin, red, blue = unused("admin"), unused("red"), unused("blue")
    key = None
    for name in (admin, red, blue):
        iam.create_user(UserName=name, Tags=[{"Key": "Team", "Value": name.split("-")[0]}])
    key = key_of(iam, admin)
    tag = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    reads = {"Effect": "Allow", "Action": "iam:Get*", "Resource": "*", "Condition": tag}
    untag = {"StringNotEquals": {"iam:ResourceTag/Team": "red"}}
    denies = {"Effect": "Deny", "Action": "iam:DeleteUser", "Resource": "*", "Condition": untag}
    deletes = {"Effect": "Allow", "Action": "iam:DeleteUser", "Resource": "*"}
    iam.put_user_policy(
        UserName=admin, PolicyName="p", PolicyDocument=iam_policy(reads, denies, deletes)
    )
    time.sleep(SEEN_S)
    mine = client(server, "iam", **key)
    assert mine.get_user(UserName=red)["User"]["UserName"] == red
    assert refused(mine.get_user, UserName=blue) == DENIED
    assert refused(mine.get_user, UserName=unused("nobody")) == DENIED
    assert refused(mine.get_account_summary) == DENIED
    assert refused(mine.delete_user, UserName=blue) == DENIED
    iam.tag_user(UserName=blue, Tags=[{"Key": "team", "Value": "red"}])
    iam.untag_user(UserName=blue, TagKeys=["Team"])
    assert mine.get_user(UserName=blue)["User"]["UserName"] == blue
    mine.delete_user(UserName=blue)
    # A role's tags, when it is taken on.
    role = unused("role")
    made = iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=trust(),
        Tags=[{"Key": "team", "Value": "red"}],
    )["Role"]["Arn"]
    takes = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*", "Condition": tag}
    iam.put_user_policy(UserName=admin, PolicyName="p", PolicyDocument=iam_policy(takes))
    time.sleep(SEEN_S)
    assume = client(server, "sts", **key).assume_role
    asked = {"RoleArn": made, "RoleSessionName": "me"}
    assert assume(**asked)["AssumedRoleUser"]["Arn"].endswith(f"{role}/me")
    iam.untag_role(RoleName=role, TagKeys=["team"])
    assert refused(assume, **asked) == DENIED


def test_what_is_done_in_a_bucket_may_depend_on_its_tags(server, iam, cam, bucket):
    """In IAM's words, of the bucket's tags in both; in CAM's, as `qcs:resource_tag`."""
    name = unused("user")
    iam.create_user(UserName=name)
    key = key_of(iam, name)
    by_key = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    by_bucket = {"StringEquals": {"s3:BucketTag/team": "red"}}
    pairs = {"for_any_value:string_equal": {"qcs:resource_tag": ["team&red", "team&green"]}}
    mine, root = client(server, "s3", **key), s3(server)
    root.put_object(Bucket=bucket, Key="a", Body=b"seen")
    numbers = []
    for put in (
        lambda: iam.put_user_policy(
            UserName=name, PolicyName="p", PolicyDocument=allow("s3:GetObject", Condition=by_key)
        ),
        lambda: iam.put_user_policy(
            UserName=name, PolicyName="p", PolicyDocument=allow("s3:GetObject", Condition=by_bucket)
        ),
        lambda: (
            iam.delete_user_policy(UserName=name, PolicyName="p"),
            numbers.append(policy(cam, {"action": "cos:GetObject", "condition": pairs})),
            cam.AttachUserPolicy(PolicyId=numbers[0], AttachUin=cam.GetUser(Name=name).Uin),
        ),
    ):
        put()
        for tags, allowed in (([], False), ([("team", "blue")], False), ([("a", "b"), ("team", "red")], True)):
            tagged = [{"Key": k, "Value": v} for k, v in tags]
            root.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tagged}) if tags else (
                root.delete_bucket_tagging(Bucket=bucket)
            )
            time.sleep(SEEN_S)
            if allowed:
                assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
            else:
                assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == DENIED, tags


def test_new_buckets_may_have_to_have_tags(server, iam, cam):
    name = unused("user")
    iam.create_user(UserName=name)
    key = key_of(iam, name)
    pairs = {"for_any_value:string_equal": {"qcs:request_tag": ["team&red"]}}
    actions = ["cos:PutBucket", "cos:PutBucketTagging"]
    number = policy(cam, {"action": actions, "condition": pairs})
    cam.AttachUserPolicy(PolicyId=number, AttachUin=cam.GetUser(Name=name).Uin)
    time.sleep(SEEN_S)
    made = unused("made") + "-" + harness.APPID

    def create(tags):
        signing = {"secret_id": key["id"], "secret_key": key["key"]}
        headers = {"x-cos-tagging": tags} if tags else {}
        return server.cos("PUT", made, headers=headers, **signing).status

    assert [create(None), create("team=blue"), create("team=red")] == [403, 403, 200]
    assert s3(server).get_bucket_tagging(Bucket=made)["TagSet"] == [{"Key": "team", "Value": "red"}]
    s3(server).delete_bucket(Bucket=made)


def test_what_the_terraform_provider_looks_at(iam):
    name = unused("user")
    iam.create_user(UserName=name)
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] >= 1 and summary["MFADevices"] == 0
    for _ in range(summary["AccessKeysPerUserQuota"]):
        iam.create_access_key(UserName=name)
    assert refused(iam.create_access_key, UserName=name) == (409, "LimitExceeded")
    assert iam.list_mfa_devices(UserName=name)["MFADevices"] == []
    for status in ("Assigned", "Unassigned", "Any"):
        assert iam.list_virtual_mfa_devices(AssignmentStatus=status)["VirtualMFADevices"] == []
    assert iam.list_ssh_public_keys(UserName=name)["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName=name)["Certificates"] == []
    listed = iam.list_service_specific_credentials(UserName=name)
    assert listed["ServiceSpecificCredentials"] == []
    assert refused(iam.get_login_profile, UserName=name) == GONE
    assert refused(iam.delete_login_profile, UserName=name) == GONE
    assert refused(iam.list_mfa_devices, UserName=unused("user")) == GONE


def test_a_cam_policy_keeps_its_version(iam, cam):
    made = policy(cam, {"action": "cos:*"})
    name = cam.GetPolicy(PolicyId=made).PolicyName
    named = {"PolicyArn": arn("policy", name)}
    iam.create_policy_version(**named, PolicyDocument=allow("s3:GetObject"), SetAsDefault=True)
    assert json.loads(cam.GetPolicy(PolicyId=made).PolicyDocument) == json.loads(
        allow("s3:GetObject")
    )
    iam.set_default_policy_version(**named, VersionId="v1")
    assert "cos:*" in cam.GetPolicy(PolicyId=made).PolicyDocument
