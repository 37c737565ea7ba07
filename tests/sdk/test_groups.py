"""Groups of users through CAM of Tencent Cloud API 3.0."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness
from cosclient import make_client
from s3client import s3
from test_aws_sts import client
from test_boto3 import refused as aws_refused
from test_cloud_api import refused
from test_cos_python import read
from test_users import SEEN_S, Cam, cam, policy, somebody, unused

__all__ = ["cam", "somebody"]


@pytest.mark.parametrize("signature", ["TC3-HMAC-SHA256", "HmacSHA1"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_groups_life(server, signature, method):
    cam = Cam(server, signature=signature, method=method)
    user, name = cam.AddUser(Name=unused("user")), unused("group")
    group = cam.CreateGroup(GroupName=name, Remark="reads").GroupId
    used = refused(lambda: cam.CreateGroup(GroupName=name))
    assert used == "InvalidParameter.GroupNameInUse"
    listed = cam.ListGroups(Keyword=name)
    assert (listed.TotalNum, listed.GroupInfo[0].GroupId) == (1, group)
    assert listed.GroupInfo[0].Remark == "reads"

    cam.AddUserToGroup(Info=[{"GroupId": group, "Uin": user.Uin}])
    shown = cam.GetGroup(GroupId=group)
    assert (shown.GroupName, shown.GroupNum, shown.Remark) == (name, 1, "reads")
    assert (shown.UserInfo[0].Uin, shown.UserInfo[0].Name) == (user.Uin, user.Name)
    assert cam.ListUsersForGroup(GroupId=group).UserInfo[0].Uid == user.Uid
    for who in ({"SubUin": user.Uin}, {"Uid": user.Uid}):
        assert [one.GroupId for one in cam.ListGroupsForUser(**who).GroupInfo] == [group]
    cam.RemoveUserFromGroup(Info=[{"GroupId": group, "Uid": user.Uid}])
    assert cam.GetGroup(GroupId=group).UserInfo == []
    gone = refused(lambda: cam.RemoveUserFromGroup(Info=[{"GroupId": group, "Uid": user.Uid}]))
    assert gone == "ResourceNotFound.NotFound"
    cam.AddUserToGroup(Info=[{"GroupId": group, "Uid": user.Uid}])

    renamed = unused("group")
    cam.UpdateGroup(GroupId=group, GroupName=renamed, Remark="writes")
    shown = cam.GetGroup(GroupId=group)
    assert (shown.GroupName, shown.Remark, shown.GroupNum) == (renamed, "writes", 1)
    cam.DeleteGroup(GroupId=group)
    assert refused(lambda: cam.GetGroup(GroupId=group)) == "ResourceNotFound.GroupNotExist"
    assert cam.ListGroupsForUser(SubUin=user.Uin).TotalNum == 0
    for wrong, code in (
        ({}, "MissingParameter"),
        ({"Info": [{"GroupId": group}]}, "MissingParameter"),
        ({"Info": [{"GroupId": group, "Uin": user.Uin}]}, "ResourceNotFound.GroupNotExist"),
        ({"Info": [{"GroupId": group, "Uid": 1}]}, "ResourceNotFound.UserNotExist"),
    ):
        assert refused(lambda: cam.AddUserToGroup(**wrong)) == code


def test_a_user_may_do_what_his_groups_policies_say(server, cam, somebody, bucket):
    make_client(server).put_object(Bucket=bucket, Key="a", Body=b"shared")
    cos = make_client(server, somebody.SecretId, somebody.SecretKey)
    aws = s3(server, access_key=somebody.SecretId, secret_key=somebody.SecretKey)
    group = cam.CreateGroup(GroupName=unused("group")).GroupId
    reads = policy(cam, {"action": "cos:GetObject"})
    cam.AttachGroupPolicy(PolicyId=reads, AttachGroupId=group)
    attached = cam.ListAttachedGroupPolicies(TargetGroupId=group)
    assert (attached.TotalNum, attached.List[0].PolicyId) == (1, reads)
    assert aws_refused(aws.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")

    cam.AddUserToGroup(Info=[{"GroupId": group, "Uin": somebody.Uin}])
    time.sleep(SEEN_S)
    assert read(cos.get_object(Bucket=bucket, Key="a")) == b"shared"
    assert aws.get_object(Bucket=bucket, Key="a")["Body"].read() == b"shared"
    assert aws_refused(aws.delete_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    # What a group denies, no policy of the user's allows.
    cam.AttachUserPolicy(PolicyId=policy(cam, {"action": "*"}), AttachUin=somebody.Uin)
    denies = policy(cam, {"effect": "deny", "action": "cos:GetObject"})
    cam.AttachGroupPolicy(PolicyId=denies, AttachGroupId=group)
    time.sleep(SEEN_S)
    assert aws_refused(aws.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    cam.DetachGroupPolicy(PolicyId=denies, DetachGroupId=group)
    time.sleep(SEEN_S)
    assert aws.get_object(Bucket=bucket, Key="a")["Body"].read() == b"shared"
    cam.DeleteGroup(GroupId=group)
    assert cam.ListAttachedUserPolicies(TargetUin=somebody.Uin).TotalNum == 1


def test_groups_outlive_a_restart():
    server = harness.Server().start()
    cam = Cam(server)
    user = cam.AddUser(Name="keeper", UseApi=1)
    group = cam.CreateGroup(GroupName="keepers").GroupId
    cam.AttachGroupPolicy(PolicyId=policy(cam, {"action": "cos:*"}), AttachGroupId=group)
    cam.AddUserToGroup(Info=[{"GroupId": group, "Uin": user.Uin}])
    assert server.stop() == 0
    server.start()
    assert make_client(server, user.SecretId, user.SecretKey).list_buckets()["Owner"]
    server.finish()


def test_lists_without_pages_are_whole(server, cam):
    """More users than are read at once, in the lists that CAM has no pages of."""
    iam = client(server, "iam")
    group = cam.CreateGroup(GroupName=unused("large")).GroupId
    name, start = unused("many"), {user.Name for user in cam.ListUsers().Data}
    names = {f"{name}-{n}" for n in range(600)}
    with ThreadPoolExecutor(8) as pool:
        uins = list(pool.map(lambda one: iam.create_user(UserName=one)["User"]["UserId"], names))
    for n in range(0, len(uins), 100):
        info = [{"GroupId": group, "Uin": int(uin)} for uin in uins[n : n + 100]]
        cam.AddUserToGroup(Info=info)
    listed = [user.Name for user in cam.ListUsers().Data]
    assert len(listed) == len(set(listed)) and set(listed) == names | start
    shown = cam.GetGroup(GroupId=group)
    assert {user.Name for user in shown.UserInfo} == names
    assert len(shown.UserInfo) == shown.GroupNum == 600 and shown.RequestId
    # Nobody is left behind in a group that goes.
    cam.DeleteGroup(GroupId=group)
    assert iam.list_groups_for_user(UserName=f"{name}-0")["Groups"] == []
