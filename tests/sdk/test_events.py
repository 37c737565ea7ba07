"""Event notifications: what boto3 configures, and what a webhook is told, whatever it and
the server go through."""

import http.client
import shlex
import subprocess
import threading
import time
import urllib.parse

import pytest
import requests
from botocore.exceptions import ClientError

import harness
from conftest import bucket_name
from cosclient import make_client
from hooks import ALL, Hook, arn, bucket_of, queue, settle, started, target, tell
from s3client import s3
from test_boto3 import refused

REGION, UIN = harness.REGION, harness.OWNER_UIN


@pytest.fixture(scope="module")
def hook():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, hook):
    folder = tmp_path_factory.mktemp("events")
    secret = folder / "token"
    secret.write_text("Bearer sesame\n")
    dead = f"http://127.0.0.1:{harness.free_ports(1)[0]}/"
    targets = [
        target("hook", hook.url(), f'authorization_file = "{secret}"'),
        target("trigger", hook.url(), 'form = "cos"'),
        target("dead", dead, 'timeout = "500ms"'),
    ]
    server = started(folder, targets)
    server.announce("no events are told")
    yield server
    server.finish()


def shown(aws, bucket):
    found = aws.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


# -- configurations --------------------------------------------------------------


def test_a_configuration_is_given_back(aws, bucket, hook):
    assert shown(aws, bucket) == {}
    configuration = {
        "TopicConfigurations": [
            {"Id": "topics", "TopicArn": arn("hook", "sns"), "Events": ["s3:ObjectAcl:Put"]}
        ],
        "QueueConfigurations": [queue("hook", ["ObjectCreated:*"], "a b/", ".jpg", Id="queues")],
        "LambdaFunctionConfigurations": [
            {
                "Id": "functions",
                "LambdaFunctionArn": arn("dead", "lambda"),
                "Events": ["s3:ObjectRemoved:Delete", "s3:ObjectTagging:*"],
            }
        ],
    }
    before = len(hook.tests())
    aws.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=configuration
    )
    found = shown(aws, bucket)
    for rule in found["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"]:
        rule["Name"] = rule["Name"].lower()
    assert found == configuration
    (test,) = hook.tests()[before:]
    assert (test["Service"], test["Event"], test["Bucket"]) == (
        "Amazon S3", "s3:TestEvent", bucket,
    )
    assert test["RequestId"] and test["HostId"] and test["Time"].endswith("Z")
    aws.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert shown(aws, bucket) == {}


def test_ids_are_made_up(aws, bucket):
    tell(aws, bucket, queue("hook", ["ObjectCreated:*"]), queue("hook", ["ObjectRemoved:*"]))
    ids = [found["Id"] for found in shown(aws, bucket)["QueueConfigurations"]]
    assert len(set(ids)) == 2 and all(ids)


@pytest.mark.parametrize(
    "queues, code, words",
    [
        ([queue("nowhere", ALL)], "InvalidArgument", "destination configurations"),
        ([queue("dead", ALL)], "InvalidArgument", "destination configurations"),
        ([queue("hook", ["ObjectCreated:Beam"])], "InvalidArgument", "not supported"),
        ([queue("hook", ["Replication:*"])], "NotImplemented", "never happens"),
        ([queue("hook", ALL), queue("hook", ["ObjectCreated:Put"])], "InvalidArgument", "overlap"),
        ([queue("hook", ALL, "a/"), queue("hook", ALL, "a/b")], "InvalidArgument", "overlap"),
        (
            [queue("hook", ALL, Id="x"), queue("hook", ["LifecycleTransition"], Id="x")],
            "InvalidArgument",
            "Same ID",
        ),
        ([queue("hook", ALL, "a" * 1025)], "InvalidArgument", "1024"),
        ([{**queue("hook", ALL), "QueueArn": "hook"}], "InvalidArgument", "ARN"),
    ],
)
def test_what_cannot_be_obeyed_changes_nothing(aws, bucket, queues, code, words):
    tell(aws, bucket, queue("hook", ["ObjectAcl:Put"], Id="kept"))
    with pytest.raises(ClientError) as caught:
        tell(aws, bucket, *queues)
    assert caught.value.response["Error"]["Code"] == code
    assert words in caught.value.response["Error"]["Message"]
    assert [found["Id"] for found in shown(aws, bucket)["QueueConfigurations"]] == ["kept"]


def test_event_bridge_is_refused(aws, bucket):
    bridge = {"EventBridgeConfiguration": {}}
    call = aws.put_bucket_notification_configuration
    assert refused(call, Bucket=bucket, NotificationConfiguration=bridge) == (
        501, "NotImplemented",
    )


# -- what is told ----------------------------------------------------------------


def test_events_say_what_happened(aws, server, bucket, hook):
    tell(aws, bucket, queue("hook", ALL, Id="mine"))
    key = "a b/ü+.txt"
    put = aws.put_object(Bucket=bucket, Key=key, Body=b"abc")
    aws.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    upload = aws.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = aws.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    whole = aws.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts
    )
    form = aws.generate_presigned_post(bucket, "form")
    done = requests.post(form["url"], data=form["fields"], files={"file": b"12345"})
    assert done.status_code == 204, done.text
    make_client(server).append_object(Bucket=bucket, Key="appended", Position=0, Data=b"xy")
    aws.put_object_tagging(
        Bucket=bucket, Key="copy", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    )
    aws.delete_object_tagging(Bucket=bucket, Key="copy")
    aws.put_object_acl(Bucket=bucket, Key="copy", ACL="public-read")
    aws.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    found = hook.wait_for(10, bucket)
    told = {}
    for record in found:
        name = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        told.setdefault(name, []).append(record["eventName"])
    assert told == {
        key: ["ObjectCreated:Put", "ObjectRemoved:Delete"],
        "copy": [
            "ObjectCreated:Copy",
            "ObjectTagging:Put",
            "ObjectTagging:Delete",
            "ObjectAcl:Put",
            "ObjectRemoved:Delete",
        ],
        "parts": ["ObjectCreated:CompleteMultipartUpload"],
        "form": ["ObjectCreated:Post"],
        "appended": ["ObjectCreated:Put"],
    }
    # What happens to other keys may be told in another order.
    first = next(r for r in found if r["s3"]["object"]["key"] == "a+b/%C3%BC%2B.txt")
    assert first["eventName"] == "ObjectCreated:Put"
    assert first["s3"]["object"]["size"] == 3
    assert first["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    answer = first["responseElements"]
    assert answer["x-amz-request-id"] == put["ResponseMetadata"]["RequestId"]
    assert answer["x-amz-id-2"]
    assert first["s3"]["configurationId"] == "mine"
    assert first["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}"
    for record in found:
        assert record["eventVersion"].startswith("2.") and record["eventSource"] == "aws:s3"
        assert record["awsRegion"] == REGION
        assert record["requestParameters"]["sourceIPAddress"] == "127.0.0.1"
        assert record["userIdentity"]["principalId"] == f"AWS:{UIN}"
        assert int(record["s3"]["object"]["sequencer"], 16) > 0
    (completed,) = [r for r in found if r["eventName"].endswith("Upload")]
    assert completed["s3"]["object"]["eTag"] == whole["ETag"].strip('"')
    headers = hook.requests[-1][0]
    assert headers["authorization"] == "Bearer sesame"
    assert headers["content-type"] == "application/json"


def test_a_write_that_was_under_way_is_told_as_its_own(aws, server, bucket, hook):
    """Nobody was to be told of the bucket when it began."""
    url = aws.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest("PUT", f"{at.path}?{at.query}", skip_host=True)
    connection.putheader("Host", at.netloc)
    connection.putheader("Content-Length", "6")
    connection.endheaders()
    connection.send(b"abc")
    # The server has begun with it.
    time.sleep(1)
    tell(aws, bucket, queue("hook", ALL))
    connection.send(b"def")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    (told,) = hook.wait_for(1, bucket)
    assert told["userIdentity"]["principalId"] == f"AWS:{UIN}"
    assert told["requestParameters"]["sourceIPAddress"] == "127.0.0.1"
    assert told["responseElements"]["x-amz-request-id"] == answer.headers["x-amz-request-id"]


def test_triggers_of_cos(aws, server, bucket, hook):
    tell(aws, bucket, queue("trigger", ALL, Id="mine"))
    cos = make_client(server)
    key = "a b/ü+.txt"
    headers = {"ContentType": "text/x-one", "CacheControl": "no-cache"}
    put = cos.put_object(Bucket=bucket, Key=key, Body=b"abc", Metadata={"x-cos-meta-a": "1"}, **headers)
    cos.append_object(Bucket=bucket, Key="appended", Position=0, Data=b"xy")
    cos.delete_object(Bucket=bucket, Key=key)
    found = hook.wait_for(3, bucket)
    created, removed = [r for r in found if r["cos"]["cosObject"]["key"].endswith(".txt")]
    (appended,) = [r for r in found if r not in (created, removed)]
    name, appid = bucket.rsplit("-", 1)
    host = f"{bucket}.cos.{REGION}.myqcloud.com"
    assert created["cos"] == {
        "cosSchemaVersion": "1.0",
        "cosObject": {
            "url": f"http://{host}/a%20b/%C3%BC%2B.txt",
            "meta": {
                "x-cos-request-id": put["x-cos-request-id"],
                "Content-Type": "text/x-one",
                "Cache-Control": "no-cache",
                "x-cos-meta-a": "1",
            },
            "vid": "",
            "key": f"/{appid}/{name}/{key}",
            "size": 3,
        },
        "cosBucket": {"region": REGION, "name": name, "appid": appid},
        "cosNotificationId": "mine",
    }
    event = created["event"]
    assert event["eventName"] == "cos:ObjectCreated:Put"
    assert abs(event["eventTime"] - time.time()) < 60
    assert event["requestParameters"]["requestSourceIP"] == "127.0.0.1"
    assert event["eventQueue"].startswith(f"qcs:0:scf:{REGION}:appid/{appid}:")
    assert appended["event"]["eventName"] == "cos:ObjectCreated:Append"
    assert removed["event"]["eventName"] == "cos:ObjectRemove:Delete"
    assert "x-cos-meta-a" not in removed["cos"]["cosObject"]["meta"]
    assert len({r["event"]["reqid"] for r in found}) == 3


def test_versions_are_named(aws, bucket, hook):
    aws.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    tell(aws, bucket, queue("hook", ALL))
    put = aws.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    marker = aws.delete_object(Bucket=bucket, Key="k")["VersionId"]
    aws.delete_object(Bucket=bucket, Key="k", VersionId=put)
    aws.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    found = hook.wait_for(4, bucket)
    told = [(r["eventName"], r["s3"]["object"]["versionId"]) for r in found]
    assert told == [
        ("ObjectCreated:Put", put),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", put),
        ("ObjectRemoved:Delete", marker),
    ]
    sequencers = [r["s3"]["object"]["sequencer"] for r in found]
    assert sequencers == sorted(set(sequencers))


def test_a_restore_is_told_from_its_beginning_to_its_end(aws, bucket, hook):
    """Restores take no time here, and their events come all the same; the end of what they
    made readable is days away."""
    tell(
        aws,
        bucket,
        queue("hook", ["ObjectRestore:*"], "s3/"),
        queue("trigger", ["ObjectRestore:Completed"], "cos/"),
    )
    for key in ("s3/k", "cos/k"):
        aws.put_object(Bucket=bucket, Key=key, Body=b"abc", StorageClass="GLACIER")
        order = {"Days": 2, "GlacierJobParameters": {"Tier": "Standard"}}
        aws.restore_object(Bucket=bucket, Key=key, RestoreRequest=order)
    found = hook.wait_for(3, bucket)
    (trigger,) = [record for record in found if "cos" in record]
    assert trigger["event"]["eventName"] == "cos:ObjectRestore:Completed"
    begun, done = [record for record in found if record is not trigger]
    assert (begun["eventName"], done["eventName"]) == ("ObjectRestore:Post", "ObjectRestore:Completed")
    assert begun["userIdentity"]["principalId"] == f"AWS:{UIN}"
    assert done["userIdentity"]["principalId"] == "s3.amazonaws.com"
    data = done["glacierEventData"]["restoreEventData"]
    assert data["lifecycleRestoreStorageClass"] == "GLACIER"
    head = aws.head_object(Bucket=bucket, Key="s3/k")
    until = time.strptime(data["lifecycleRestorationExpiryTime"], "%Y-%m-%dT%H:%M:%S.000Z")
    assert time.strftime("%a, %d %b %Y %H:%M:%S GMT", until) in head["Restore"]
    assert begun["s3"]["object"]["sequencer"] < done["s3"]["object"]["sequencer"]


def test_filters_choose(aws, bucket, hook):
    tell(
        aws,
        bucket,
        queue("hook", ["ObjectCreated:*"], "in/", ".jpg", Id="pictures"),
        queue("hook", ["ObjectCreated:*"], "out/", Id="out"),
    )
    for key in ("in/1.jpg", "in/1.png", "x/in/1.jpg", "out/1.png"):
        aws.put_object(Bucket=bucket, Key=key, Body=b"")
    aws.put_object(Bucket=bucket, Key="in/2.jpg", Body=b"")
    found = {
        (r["s3"]["object"]["key"], r["s3"]["configurationId"])
        for r in hook.wait_for(3, bucket)
    }
    assert found == {("in/1.jpg", "pictures"), ("in/2.jpg", "pictures"), ("out/1.png", "out")}
    # And no more comes.
    time.sleep(1)
    assert len([r for r in hook.records() if bucket_of(r) == bucket]) == 3


def test_a_deleted_bucket_has_had_its_say(aws, bucket, hook):
    tell(aws, bucket, queue("hook", ALL))
    hook.status = 503
    try:
        aws.put_object(Bucket=bucket, Key="k", Body=b"")
        aws.delete_object(Bucket=bucket, Key="k")
        aws.delete_bucket(Bucket=bucket)
    finally:
        hook.status = 200
    names = [r["eventName"] for r in hook.wait_for(2, bucket)]
    assert names == ["ObjectCreated:Put", "ObjectRemoved:Delete"]


def test_a_dead_target_is_seen_and_holds_up_nothing(aws, server, bucket, hook):
    tell(
        aws,
        bucket,
        queue("dead", ["ObjectCreated:*"], "dead/"),
        queue("hook", ["ObjectCreated:*"], "hook/"),
        SkipDestinationValidation=True,
    )
    for number in range(30):
        aws.put_object(Bucket=bucket, Key=f"dead/{number}", Body=b"")
        aws.put_object(Bucket=bucket, Key=f"hook/{number}", Body=b"")
    hook.wait_for(30, bucket)
    page = server.console("/metrics")[1]
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[:1] != "#")
    assert int(samples['costrel_events_waiting{target="dead"}']) == 30
    assert int(samples['costrel_events_failures_total{target="dead"}']) > 0
    assert int(samples['costrel_events_sent_total{target="dead"}']) == 0
    assert int(samples['costrel_events_sent_total{target="hook"}']) >= 30
    said = subprocess.run(
        [
            harness.BINARY, "events", "--data-dir", server.data_dir,
            "--console-listen", f"127.0.0.1:{server.console_port}",
        ],
        env=server.env, capture_output=True, text=True, check=True,
    ).stdout
    assert "dead  arn:aws:sqs:" in said and "30 events wait" in said, said
    assert "the last try failed" in said


# -- what goes wrong -------------------------------------------------------------


def test_errors_timeouts_and_doubts(tmp_path):
    hook = Hook()
    server = started(tmp_path, [target("hook", hook.url(), 'timeout = "1s"')])
    try:
        aws, bucket = s3(server), bucket_name()
        aws.create_bucket(Bucket=bucket)
        tell(aws, bucket, queue("hook", ALL))
        hook.doubts = 5
        for number in range(3):
            for key in range(4):
                aws.put_object(Bucket=bucket, Key=f"k{key}", Body=str(number))
        hook.status = 500
        for key in range(4):
            aws.put_object(Bucket=bucket, Key=f"k{key}", Body=b"more")
        time.sleep(1)
        hook.status = 200
        settle(hook, 16)
        hook.delay_s = 1.5
        aws.put_object(Bucket=bucket, Key="late", Body=b"")
        time.sleep(2)
        hook.delay_s = 0
        keys = settle(hook, 17)
        assert {key: len(seen) for key, seen in keys.items()} == {
            "k0": 4, "k1": 4, "k2": 4, "k3": 4, "late": 1,
        }
    finally:
        server.finish()
        hook.close()


def test_a_killed_server_loses_nothing_and_keeps_the_order(tmp_path):
    hook = Hook()
    server = started(tmp_path, [target("hook", hook.url())])
    try:
        aws, bucket = s3(server), bucket_name()
        aws.create_bucket(Bucket=bucket)
        tell(aws, bucket, queue("hook", ALL))
        hook.delay_s = 0.02
        acknowledged = 0
        for life in range(3):
            stop = threading.Event()
            done = [0] * 4

            def write(worker):
                client = s3(server)
                number = 0
                while not stop.is_set():
                    key = f"{worker}-{number % 5}"
                    try:
                        client.put_object(Bucket=bucket, Key=key, Body=str(number))
                        done[worker] += 1
                        client.delete_object(Bucket=bucket, Key=key)
                        done[worker] += 1
                    except Exception:
                        if not stop.is_set():
                            raise
                    number += 1

            writers = [threading.Thread(target=write, args=[n]) for n in range(4)]
            for writer in writers:
                writer.start()
            time.sleep(1.5)
            stop.set()
            server.kill()
            for writer in writers:
                writer.join()
            acknowledged += sum(done)
            server.start()
        hook.delay_s = 0
        assert acknowledged > 50
        keys = settle(hook, acknowledged)
        # What was not acknowledged may have happened all the same: one for each writer
        # and life.
        assert acknowledged <= sum(map(len, keys.values())) <= acknowledged + 12
        for key, seen in keys.items():
            names = {
                r["s3"]["object"]["sequencer"]: r["eventName"]
                for r in hook.records()
                if r["s3"]["object"]["key"] == key
            }
            order = [names[sequencer] for sequencer in seen]
            for before, after in zip(order, order[1:]):
                assert after == "ObjectCreated:Put" or before == "ObjectCreated:Put", order
    finally:
        server.finish()
        hook.close()


def test_what_waits_is_told_after_a_restart(tmp_path):
    hook = Hook()
    server = started(tmp_path, [target("hook", hook.url())])
    try:
        aws, bucket = s3(server), bucket_name()
        aws.create_bucket(Bucket=bucket)
        tell(aws, bucket, queue("hook", ALL))
        hook.status = 503
        for number in range(20):
            aws.put_object(Bucket=bucket, Key=f"k{number % 7}", Body=str(number))
        assert server.stop() == 0
        hook.status = 200
        server.start()
        assert sum(map(len, settle(hook, 20).values())) == 20
    finally:
        server.finish()
        hook.close()


def test_bad_targets_are_refused_at_the_start(tmp_path):
    for text, words in [
        (target("a b", "http://127.0.0.1/"), "is not a name"),
        (target("a", "http://127.0.0.1/") * 2, "two named a"),
        (target("a", "gopher://127.0.0.1/"), "none of a webhook"),
        (target("a", "http://u:hidden@127.0.0.1/"), "none of a webhook"),
        (target("a", "http://127.0.0.1/", 'authorization_env = "NOT_SET_AT_ALL"'), "NOT_SET"),
        (target("a", "http://127.0.0.1/", "colour = 1"), "colour"),
    ]:
        config = tmp_path / "bad.toml"
        config.write_text(text)
        server = harness.Server(args=["--config", str(config)])
        server.spawn()
        assert server.process.wait(30) == 1, shlex.quote(text)
        assert words in server.log() and "hidden" not in server.log(), server.log()
        server.discard()
