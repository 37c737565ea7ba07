"""Lifecycles through both vendors' SDKs, on a server whose day has a few seconds."""

import re
import time

import pytest

import harness
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import refused as cos_refused

# Long enough that what is put on one day is still there when it is looked for.
DAY_S = 4


@pytest.fixture(scope="module")
def server():
    server = harness.Server(env={"COSTREL_DAY_SECONDS": str(DAY_S)}).start()
    yield server
    server.finish()


def wait_until(condition, days=6):
    """Waits until something has happened that happens after days."""
    deadline = time.monotonic() + days * DAY_S
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(DAY_S / 20)


def keys(aws, bucket):
    return [found["Key"] for found in aws.list_objects_v2(Bucket=bucket).get("Contents", [])]


def versions(aws, bucket):
    page = aws.list_object_versions(Bucket=bucket)
    found = [each["Key"] for each in page.get("Versions", [])]
    return found + [each["Key"] + "!" for each in page.get("DeleteMarkers", [])]


def put_s3(aws, bucket, *rules):
    rules = [{"Status": "Enabled", "Filter": {}, **rule} for rule in rules]
    aws.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def put_cos(cos, bucket, *rules):
    rules = [{"Status": "Enabled", "Filter": {"Prefix": ""}, **rule} for rule in rules]
    cos.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rule": rules})


def test_configurations_of_s3(aws, bucket):
    read = lambda: aws.get_bucket_lifecycle_configuration(Bucket=bucket)
    missing = (404, "NoSuchLifecycleConfiguration")
    assert aws_refused(read) == missing
    rules = [
        {"ID": "old form", "Prefix": "a/", "Status": "Enabled", "Expiration": {"Days": 30}},
        {"ID": "off", "Prefix": "", "Status": "Disabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}},
    ]
    put = lambda rules: aws.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules}
    )
    put(rules)
    assert read()["Rules"] == rules
    tags = [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}]
    rules = [
        {"ID": "none", "Filter": {}, "Status": "Enabled", "Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"ID": "tag", "Filter": {"Tag": tags[0]}, "Status": "Enabled", "Expiration": {"Days": 1}},
        {
            "ID": "moves",
            "Filter": {},
            "Status": "Enabled",
            "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER"}],
            "NoncurrentVersionTransitions": [
                {"NoncurrentDays": 7, "StorageClass": "DEEP_ARCHIVE", "NewerNoncurrentVersions": 2}
            ],
        },
        {
            "ID": "and",
            "Filter": {"And": {"Prefix": "p", "Tags": tags, "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 9}},
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 3},
        },
    ]
    put(rules)
    found = read()
    assert found["Rules"] == rules
    assert found["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    for bad, code in [
        ({"ID": "x", "Filter": {}, "Status": "Enabled"}, (400, "InvalidRequest")),
        ({"ID": "x" * 256, "Filter": {}, "Status": "Enabled", "Expiration": {"Days": 1}}, (400, "InvalidArgument")),
        ({"Filter": {}, "Status": "enabled", "Expiration": {"Days": 1}}, (400, "MalformedXML")),
        (
            {"Filter": {}, "Status": "Enabled", "Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]},
            (400, "InvalidArgument"),
        ),
    ]:
        assert aws_refused(lambda: put([bad])) == code
        assert read()["Rules"] == rules
    for _ in range(2):
        aws.delete_bucket_lifecycle(Bucket=bucket)
        assert aws_refused(read) == missing


def test_configurations_of_cos(cos, bucket):
    read = lambda: cos.get_bucket_lifecycle(Bucket=bucket)["Rule"]
    expect(cos_refused(read), 404, "NoSuchLifecycleConfiguration")
    rules = [
        {
            "ID": "one",
            "Filter": {"And": {"Prefix": "p", "Tag": [{"Key": "k", "Value": "v"}]}},
            "Status": "Enabled",
            "Expiration": {"Date": "2030-01-01T00:00:00+08:00"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": "2"},
            "Transition": {"Date": "2029-01-01T00:00:00+08:00", "StorageClass": "DEEP_ARCHIVE"},
        },
        {
            "ID": "two",
            "Filter": {"Prefix": "q"},
            "Status": "Disabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "3"},
        },
    ]
    cos.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rule": rules})
    found = read()
    assert [rule["ID"] for rule in found] == ["one", "two"]
    assert found[0]["Expiration"]["Date"] == "2030-01-01T00:00:00+08:00"
    assert found[0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": "2"}
    move = found[0]["Transition"]
    move = move[0] if isinstance(move, list) else move
    assert move == {"Date": "2029-01-01T00:00:00+08:00", "StorageClass": "DEEP_ARCHIVE"}
    assert found[0]["Filter"]["And"]["Prefix"] == "p"
    assert found[1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": "3"}
    bad = {"Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": "3651"}}
    put = lambda rule: cos.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rule": [rule]})
    expect(cos_refused(put, bad), 400, "InvalidArgument")
    assert read() == found
    cos.delete_bucket_lifecycle(Bucket=bucket)
    expect(cos_refused(read), 404, "NoSuchLifecycleConfiguration")


@pytest.mark.parametrize("dialect", ["s3", "cos"])
def test_objects_expire(aws, cos, bucket, dialect):
    for key in ("a/1", "a/2", "b/1"):
        aws.put_object(Bucket=bucket, Key=key, Body=b"data" * 10000)
    aws.put_object(Bucket=bucket, Key="tagged", Body=b"", Tagging="end=soon")
    tag = {"Key": "end", "Value": "soon"}
    rules = [
        {"ID": "prefix", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 1}},
        {"ID": "tag", "Filter": {"Tag": tag}, "Expiration": {"Days": 1}},
        {"ID": "far", "Filter": {"Prefix": "b/"}, "Expiration": {"Days": 3000}},
    ]
    put_s3(aws, bucket, *rules) if dialect == "s3" else put_cos(cos, bucket, *rules)
    found = aws.head_object(Bucket=bucket, Key="a/1")
    assert re.fullmatch('expiry-date=".* GMT", rule-id="prefix"', found["Expiration"])
    found = cos.head_object(Bucket=bucket, Key="tagged")
    assert re.fullmatch('expiry-date=".* GMT", rule-id="tag"', found["x-cos-expiration"])
    wait_until(lambda: keys(aws, bucket) == ["b/1"])
    assert 'rule-id="far"' in aws.put_object(Bucket=bucket, Key="b/2", Body=b"")["Expiration"]


@pytest.mark.parametrize("dialect", ["s3", "cos"])
def test_objects_move_down(aws, cos, bucket, dialect):
    data = b"text and more text\n" * 20_000
    etag = aws.put_object(Bucket=bucket, Key="a/one", Body=data)["ETag"]
    begun = aws.create_multipart_upload(Bucket=bucket, Key="a/parts")["UploadId"]
    bodies = [data * 15, b"the end" * 20_000]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = aws.upload_part(Bucket=bucket, Key="a/parts", UploadId=begun, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    whole = aws.complete_multipart_upload(Bucket=bucket, Key="a/parts", UploadId=begun, MultipartUpload={"Parts": parts})
    aws.put_object(Bucket=bucket, Key="b/one", Body=data)
    aws.put_object(Bucket=bucket, Key="a/small", Body=b"x")
    before = {key: aws.head_object(Bucket=bucket, Key=key) for key in ("a/one", "a/parts")}
    steps = [{"Days": 1, "StorageClass": "GLACIER_IR"}, {"Days": 4, "StorageClass": "ARCHIVE" if dialect == "cos" else "GLACIER"}]
    rule = {"ID": "down", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 3000}}
    if dialect == "s3":
        put_s3(aws, bucket, {**rule, "Transitions": steps})
    else:
        put_cos(cos, bucket, {**rule, "Transition": steps})

    def classes():
        page = aws.list_objects_v2(Bucket=bucket)["Contents"]
        return {found["Key"]: found["StorageClass"] for found in page}

    for step in steps:
        want = {"a/one": step["StorageClass"], "a/parts": step["StorageClass"], "a/small": "STANDARD", "b/one": "STANDARD"}
        wait_until(lambda: classes() == want, days=8)
        for key in ("a/one", "a/parts"):
            found = aws.head_object(Bucket=bucket, Key=key)
            for name in ("ETag", "LastModified", "ContentLength", "Expiration"):
                assert found.get(name, "") == before[key].get(name, found.get(name, "")), name
        read = lambda key, **more: aws.get_object(Bucket=bucket, Key=key, **more)["Body"].read()
        if step is steps[1]:
            assert aws_refused(lambda: read("a/one")) == (403, "InvalidObjectState")
            for key in ("a/one", "a/parts"):
                aws.restore_object(Bucket=bucket, Key=key, RestoreRequest={"Days": 30})
        assert (read("a/one"), read("a/parts")) == (data, b"".join(bodies))
        assert read("a/parts", PartNumber=2) == bodies[1]
    assert etag == aws.head_object(Bucket=bucket, Key="a/one")["ETag"]
    assert whole["ETag"] == aws.head_object(Bucket=bucket, Key="a/parts")["ETag"]


def test_older_versions_move_down(aws, bucket):
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    data = b"data" * 50_000
    for n in range(3):
        aws.put_object(Bucket=bucket, Key="k", Body=data + b"%d" % n)
    move = {"NoncurrentDays": 1, "StorageClass": "GLACIER_IR", "NewerNoncurrentVersions": 1}
    put_s3(aws, bucket, {"NoncurrentVersionTransitions": [move]})
    found = lambda: aws.list_object_versions(Bucket=bucket)["Versions"]
    wait_until(lambda: [each["StorageClass"] for each in found()] == ["STANDARD", "STANDARD", "GLACIER_IR"])
    for n, each in enumerate(found()):
        body = aws.get_object(Bucket=bucket, Key="k", VersionId=each["VersionId"])["Body"].read()
        assert body == data + b"%d" % (2 - n)


def test_versions_and_markers_end(aws, bucket):
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for n in range(5):
        aws.put_object(Bucket=bucket, Key="many", Body=b"%d" % n)
    aws.put_object(Bucket=bucket, Key="gone", Body=b"data")
    aws.delete_object(Bucket=bucket, Key="gone")
    put_s3(
        aws,
        bucket,
        {
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2},
            "Filter": {"Prefix": "many"},
        },
        {
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "Filter": {"Prefix": "gone"},
        },
    )
    wait_until(lambda: versions(aws, bucket) == ["many"] * 3)
    assert aws.get_object(Bucket=bucket, Key="many")["Body"].read() == b"4"
    put_s3(aws, bucket, {"Expiration": {"Days": 1}})
    wait_until(lambda: versions(aws, bucket) == ["many"] * 3 + ["many!"])
    assert keys(aws, bucket) == []


def test_uploads_are_aborted(aws, cos, bucket):
    begun = aws.create_multipart_upload(Bucket=bucket, Key="a/1")
    aws.upload_part(Bucket=bucket, Key="a/1", UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 100000)
    aws.create_multipart_upload(Bucket=bucket, Key="b/1")
    rule = {"ID": "r", "Filter": {"Prefix": "a/"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    put_cos(cos, bucket, rule)
    parts = aws.list_parts(Bucket=bucket, Key="a/1", UploadId=begun["UploadId"])
    assert parts["AbortRuleId"] == "r" and parts["AbortDate"]
    begun = aws.create_multipart_upload(Bucket=bucket, Key="a/2")
    assert begun["AbortRuleId"] == "r" and begun["AbortDate"]
    open_uploads = lambda: [each["Key"] for each in aws.list_multipart_uploads(Bucket=bucket)["Uploads"]]
    wait_until(lambda: open_uploads() == ["b/1"])


def test_a_round_goes_on_after_a_kill(bucket_of_its_own):
    """Killed again and again while it removes, a server ends what is due, only that,
    and leaves nothing behind."""
    server, bucket, aws = bucket_of_its_own
    count = 1500
    for n in range(count):
        server.cos("PUT", bucket, f"old/{n}", body=b"x" * 70000 if n % 50 == 0 else b"x")
    server.cos("PUT", bucket, "kept", body=b"data")
    put_s3(aws, bucket, {"Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}})
    deadline = time.monotonic() + 60
    kills = 0
    while left := len(aws.get_paginator("list_objects_v2").paginate(Bucket=bucket).build_full_result()["Contents"]) - 1:
        assert time.monotonic() < deadline, f"{left} objects are left"
        if left < count:
            server.kill()
            server.start()
            kills += 1
            aws = s3(server)
        time.sleep(0.3)
    assert kills > 1
    assert keys(aws, bucket) == ["kept"]


@pytest.fixture
def bucket_of_its_own():
    env = {"COSTREL_DAY_SECONDS": "2"}
    server = harness.Server(env=env, args=["--lifecycle-end-rate", "700"]).start()
    name = f"kills-{harness.APPID}"
    assert server.cos("PUT", name).status == 200
    yield server, name, s3(server)
    server.finish()


def preview(server, bucket, **env):
    """`costrel lifecycle preview`: exit code, lines, complaint."""
    ran = server.operate("lifecycle", "preview", bucket, env=env)
    return ran.returncode, [line.strip() for line in ran.stdout.splitlines()], ran.stderr


def test_a_preview_is_for_the_operator(bucket_of_a_slow_server):
    server, bucket, aws = bucket_of_a_slow_server
    assert preview(server, bucket)[0] == 1
    for n in range(100):
        aws.put_object(Bucket=bucket, Key=f"old/{n:03}", Body=b"x" * 10)
    aws.put_object(Bucket=bucket, Key="new", Body=b"data")
    put_s3(aws, bucket, {"ID": "a rule", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}})

    def told():
        code, lines, complaint = preview(server, bucket)
        assert (code, complaint) == (0, "")
        return lines

    # Sixteen may be gone before the first look, and the next ones much later.
    wait_until(lambda: told()[0] in ("100 objects deleted for good, 1000 bytes", "84 objects deleted for good, 840 bytes"))
    lines = told()
    assert re.fullmatch(r'"old/0\d\d" by rule "a rule"', lines[1]) and len(lines) == 12, lines
    assert len(keys(aws, bucket)) in (101, 85), "looking ends nothing"
    assert preview(server, "missing-1250000000")[0] == 1
    assert "no bucket's name" in preview(server, "x?y")[2]
    assert server.console(f"/lifecycle/preview?bucket={bucket}")[0] == 403
    code, lines, complaint = preview(server, bucket, COSTREL_MASTER_KEY="00" * 32)
    assert code == 1 and lines == [] and "operator" in complaint


@pytest.fixture
def bucket_of_a_slow_server():
    env = {"COSTREL_DAY_SECONDS": str(DAY_S)}
    server = harness.Server(env=env, args=["--lifecycle-end-rate", "1"]).start()
    name = f"slow-{harness.APPID}"
    assert server.cos("PUT", name).status == 200
    yield server, name, s3(server)
    server.finish()


def test_metrics(aws, server, bucket):
    def counted(name):
        return float(re.search(rf"^{re.escape(name)} (\S+)$", server.console("/metrics")[1], re.M).group(1))

    ended = 'costrel_lifecycle_ended_total{kind="object"}'
    before = counted(ended), counted("costrel_lifecycle_bytes_total"), counted("costrel_lifecycle_rounds_total")
    aws.put_object(Bucket=bucket, Key="k", Body=b"12345")
    put_s3(aws, bucket, {"Expiration": {"Days": 1}})
    wait_until(lambda: counted(ended) == before[0] + 1)
    assert counted("costrel_lifecycle_bytes_total") == before[1] + 5
    wait_until(lambda: counted("costrel_lifecycle_rounds_total") > before[2])
    assert abs(counted("costrel_lifecycle_last_round_timestamp_seconds") - time.time()) < 5 * DAY_S
    assert counted("costrel_lifecycle_failures_total") == 0
