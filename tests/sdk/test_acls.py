"""ACLs through both vendors' SDKs, each seen from the other side."""

import json

import requests

import harness
from clis import installed, run
from conftest import bucket_name
from cosclient import make_client
from test_awscli import KEYS
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import read as cos_read
from test_cos_python import refused as cos_refused
from test_users import Cam, unused

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
COS_ALL_USERS = "http://cam.qcloud.com/groups/global/AllUsers"


def grants(response):
    named = ((g["Grantee"].get("URI") or g["Grantee"]["ID"], g["Permission"]) for g in response["Grants"])
    return sorted(named)


OWNER = (harness.OWNER_UIN, "FULL_CONTROL")


def test_a_canned_acl_of_a_bucket_is_told_by_either_sdk(aws, cos, nobody, cos_nobody, bucket):
    assert cos.get_bucket_acl(Bucket=bucket)["CannedACL"] == "private"
    cos.put_object(Bucket=bucket, Key="open", Body=b"open")
    aws.put_object(Bucket=bucket, Key="closed", Body=b"closed")
    for put in (cos.put_bucket_acl, aws.put_bucket_acl):
        put(Bucket=bucket, ACL="public-read")
        assert cos.get_bucket_acl(Bucket=bucket)["CannedACL"] == "public-read"
        assert grants(aws.get_bucket_acl(Bucket=bucket)) == [OWNER, (ALL_USERS, "READ")]
        assert nobody.get_object(Bucket=bucket, Key="open")["Body"].read() == b"open"
        assert cos_read(cos_nobody.get_object(Bucket=bucket, Key="open")) == b"open"
        assert len(nobody.list_objects_v2(Bucket=bucket)["Contents"]) == 2
        assert aws_refused(nobody.get_object, Bucket=bucket, Key="closed") == (403, "AccessDenied")
        assert aws_refused(nobody.put_object, Bucket=bucket, Key="new", Body=b"") == (403, "AccessDenied")
        put(Bucket=bucket, ACL="public-read-write")
        assert cos.get_bucket_acl(Bucket=bucket)["CannedACL"] == "public-read-write"
        cos_nobody.put_object(Bucket=bucket, Key="new", Body=b"by nobody")
        nobody.delete_object(Bucket=bucket, Key="new")
        put(Bucket=bucket, ACL="private")
        assert cos.get_bucket_acl(Bucket=bucket)["CannedACL"] == "private"
        expect(cos_refused(cos_nobody.get_object, Bucket=bucket, Key="open"), 403, "AccessDenied")


def test_a_new_bucket_with_an_acl(cos, cos_nobody, nobody):
    name = bucket_name()
    cos.create_bucket(Bucket=name, ACL="public-read")
    assert cos.get_bucket_acl(Bucket=name)["CannedACL"] == "public-read"
    assert nobody.list_objects_v2(Bucket=name)["KeyCount"] == 0
    cos_nobody.head_bucket(Bucket=name)


def test_acls_of_objects(aws, cos, nobody, cos_nobody, bucket):
    cos.put_object(Bucket=bucket, Key="k", Body=b"one")
    assert cos.get_object_acl(Bucket=bucket, Key="k")["CannedACL"] == "default"
    cos.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert cos.get_object_acl(Bucket=bucket, Key="k")["CannedACL"] == "public-read"
    assert grants(aws.get_object_acl(Bucket=bucket, Key="k")) == [OWNER, (ALL_USERS, "READ")]
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"
    assert aws_refused(nobody.get_object, Bucket=bucket, Key="k", ResponseContentType="a/b") == (
        400,
        "InvalidRequest",
    )
    aws.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    assert cos.get_object_acl(Bucket=bucket, Key="k")["CannedACL"] == "private"
    expect(cos_refused(cos_nobody.get_object, Bucket=bucket, Key="k"), 403, "AccessDenied")

    aws.put_object(Bucket=bucket, Key="s3", Body=b"two", ACL="public-read")
    assert cos_read(cos_nobody.get_object(Bucket=bucket, Key="s3")) == b"two"
    aws.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/s3")
    assert aws_refused(nobody.get_object, Bucket=bucket, Key="copy") == (403, "AccessDenied")
    aws.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/s3", ACL="public-read")
    assert nobody.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"two"
    upload = aws.create_multipart_upload(Bucket=bucket, Key="parts", ACL="public-read")["UploadId"]
    part = aws.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"parts")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    aws.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    assert nobody.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"parts"
    cos.append_object(Bucket=bucket, Key="log", Position=0, Data=b"a", ACL="public-read")
    assert cos_read(cos_nobody.get_object(Bucket=bucket, Key="log")) == b"a"


def test_a_form_with_an_acl(server, aws, nobody, bucket):
    fields, conditions = {"acl": "public-read"}, [{"acl": "public-read"}]
    post = aws.generate_presigned_post(bucket, "form", Fields=fields, Conditions=conditions)
    done = requests.post(post["url"], data=post["fields"], files={"file": b"form"})
    assert done.status_code == 204, done.text
    assert nobody.get_object(Bucket=bucket, Key="form")["Body"].read() == b"form"


def test_grants_to_a_user(server, aws, cos, bucket):
    cam = Cam(server)
    user = cam.AddUser(Name=unused("friend"), UseApi=1)
    uin = str(user.Uin)
    theirs = make_client(server, secret_id=user.SecretId, secret_key=user.SecretKey)
    cos.put_object(Bucket=bucket, Key="k", Body=b"x")
    expect(cos_refused(theirs.get_object, Bucket=bucket, Key="k"), 403, "AccessDenied")
    cos.put_object_acl(Bucket=bucket, Key="k", GrantRead=f'id="{harness.OWNER_UIN}/{uin}"')
    assert cos_read(theirs.get_object(Bucket=bucket, Key="k")) == b"x"
    assert grants(aws.get_object_acl(Bucket=bucket, Key="k")) == [OWNER, (uin, "READ")]
    acl = cos.get_object_acl(Bucket=bucket, Key="k")
    assert acl["Owner"]["ID"] == f"qcs::cam::uin/{harness.OWNER_UIN}:uin/{harness.OWNER_UIN}"

    # What was read is sent back with a grant more.
    acl = aws.get_object_acl(Bucket=bucket, Key="k")
    more = {"Grantee": {"Type": "CanonicalUser", "ID": uin}, "Permission": "READ_ACP"}
    policy = {"Owner": acl["Owner"], "Grants": acl["Grants"] + [more]}
    expect(cos_refused(theirs.get_object_acl, Bucket=bucket, Key="k"), 403, "AccessDenied")
    aws.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=policy)
    assert len(theirs.get_object_acl(Bucket=bucket, Key="k")["AccessControlList"]["Grant"]) == 3
    list_of_cos = {
        "Owner": {"ID": f"qcs::cam::uin/{harness.OWNER_UIN}:uin/{harness.OWNER_UIN}"},
        "AccessControlList": {
            "Grant": [{"Grantee": {"@xsi:type": "Group", "URI": COS_ALL_USERS}, "Permission": "READ"}]
        },
    }
    cos.put_bucket_acl(Bucket=bucket, AccessControlPolicy=list_of_cos)
    assert cos.get_bucket_acl(Bucket=bucket)["CannedACL"] == "public-read"
    assert theirs.list_objects(Bucket=bucket)["Contents"][0]["Key"] == "k"


def test_what_is_refused(aws, cos, bucket):
    aws.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert aws_refused(aws.put_bucket_acl, Bucket=bucket, GrantRead="id=_foo") == (400, "InvalidArgument")
    assert aws_refused(aws.put_bucket_acl, Bucket=bucket) == (400, "MissingSecurityHeader")
    both = {"ACL": "private", "GrantRead": f"id={harness.OWNER_UIN}"}
    assert aws_refused(aws.put_bucket_acl, Bucket=bucket, **both) == (400, "InvalidRequest")
    mail = {"GrantRead": "emailAddress=a@example.com"}
    assert aws_refused(aws.put_bucket_acl, Bucket=bucket, **mail) == (400, "UnresolvableGrantByEmailAddress")
    expect(cos_refused(cos.put_bucket_acl, Bucket=bucket, ACL="open"), 400, "InvalidArgument")
    assert cos.get_bucket_acl(Bucket=bucket)["CannedACL"] == "public-read"


def test_public_acls_are_blocked_and_ignored(aws, nobody, cos, bucket):
    aws.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    nobody.get_object(Bucket=bucket, Key="k")
    base = {"BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    ignore = {**base, "IgnorePublicAcls": True, "BlockPublicAcls": False}
    aws.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=ignore)
    assert aws_refused(nobody.get_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
    block = {**base, "IgnorePublicAcls": False, "BlockPublicAcls": True}
    aws.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    nobody.get_object(Bucket=bucket, Key="k")
    put = {"Bucket": bucket, "Key": "k", "Body": b"y"}
    assert aws_refused(aws.put_object, ACL="public-read", **put) == (403, "AccessDenied")
    expect(cos_refused(cos.put_object, ACL="public-read", **put), 403, "AccessDenied")
    expect(cos_refused(cos.put_bucket_acl, Bucket=bucket, ACL="public-read"), 403, "AccessDenied")
    aws.put_object(**put)


def test_ownership(aws, cos, nobody, bucket):
    refused = lambda call, **more: aws_refused(call, Bucket=bucket, **more)
    assert refused(aws.get_bucket_ownership_controls) == (404, "OwnershipControlsNotFoundError")
    aws.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    aws.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
    assert aws.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == rules
    assert refused(nobody.get_object, Key="k") == (403, "AccessDenied")
    not_supported = (400, "AccessControlListNotSupported")
    assert refused(aws.put_object, Key="k", Body=b"y", ACL="public-read") == not_supported
    assert refused(aws.put_object_acl, Key="k", ACL="private") == not_supported
    expect(cos_refused(cos.put_bucket_acl, Bucket=bucket, ACL="public-read"), *not_supported)
    aws.put_object(Bucket=bucket, Key="k", Body=b"y", ACL="bucket-owner-full-control")
    cos.put_object(Bucket=bucket, Key="k", Body=b"z")
    aws.delete_bucket_ownership_controls(Bucket=bucket)
    name = bucket_name()
    aws.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced")
    assert aws.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == rules


def test_the_aws_cli(server, aws, nobody, bucket):
    def cli(*arguments):
        endpoint = f"http://127.0.0.1:{server.port}"
        return run(installed("aws"), "--endpoint-url", endpoint, "s3api", *arguments, env=KEYS).stdout

    aws.put_object(Bucket=bucket, Key="k", Body=b"x")
    cli("put-object-acl", "--bucket", bucket, "--key", "k", "--acl", "public-read")
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    shown = cli("get-object-acl", "--bucket", bucket, "--key", "k")
    assert grants(json.loads(shown)) == [OWNER, (ALL_USERS, "READ")]
