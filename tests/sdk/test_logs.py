"""Access logs: what two vendors' SDKs configure, and every line that is delivered beside
what the clients themselves have counted."""

import gzip
import http.client
import re
import shlex
import socket
import time
import urllib.parse

import pytest

import harness
from conftest import bucket_name
from cosclient import make_client
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import refused as cos_refused
from test_temporary_keys import ask, aws_of, cos_of

WINDOW_S = 1
ENV = {"COSTREL_LOG_DELIVERY_SECONDS": str(WINDOW_S)}
# What a crash may lose: what ended within a second of it, and what was being written.
LOST_S = 2
COS_FIELDS = 31


@pytest.fixture(scope="module")
def server():
    server = harness.new_server(env=ENV).start()
    yield server
    server.finish()


# -- what is delivered -----------------------------------------------------------


def log_by_cos(server, bucket, target, prefix="logs/"):
    make_client(server).put_bucket_logging(
        Bucket=bucket,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": prefix}},
    )


def log_by_s3(server, bucket, target, prefix="logs/", **more):
    enabled = {"TargetBucket": target, "TargetPrefix": prefix, **more}
    s3(server).put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})


def names(server, target, prefix="logs/"):
    pages = s3(server).get_paginator("list_objects_v2").paginate(Bucket=target, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def fetch(server, target, key):
    body = s3(server).get_object(Bucket=target, Key=key)["Body"].read()
    return gzip.decompress(body) if key.endswith(".gz") else body


class Reader:
    """All lines that were delivered, each object read once."""

    def __init__(self, server, target, prefix="logs/"):
        self.server, self.target, self.prefix = server, target, prefix
        self.seen, self.lines = set(), []

    def look(self):
        for key in names(self.server, self.target, self.prefix):
            if key not in self.seen:
                self.seen.add(key)
                text = fetch(self.server, self.target, key).decode("ascii")
                assert text.endswith("\n")
                self.lines += text[:-1].split("\n")
        return self.lines

    def wait(self, count, seconds=30):
        deadline = time.monotonic() + seconds
        while len(self.look()) < count:
            assert time.monotonic() < deadline, f"{len(self.lines)} lines of {count}"
            time.sleep(0.1)
        return self.lines

    def settle(self):
        """When nothing more comes."""
        quiet = time.monotonic()
        while time.monotonic() < quiet + 3 * WINDOW_S + 1:
            before = len(self.lines)
            if len(self.look()) != before:
                quiet = time.monotonic()
            time.sleep(0.1)
        return self.lines


def of_cos(line):
    """The 31 fields: the last two are in quotes."""
    fields = line.split(" ", 29)
    assert len(fields) == 30, line
    rest = re.fullmatch(r'("[^"]*") ("[^"]*")', fields.pop())
    assert rest, line
    fields += [rest[1][1:-1], rest[2][1:-1]]
    assert len(fields) == COS_FIELDS
    return fields


def of_s3(line):
    found = re.findall(r'\[[^\]]*\]|"[^"]*"|\S+', line)
    assert " ".join(found) == line and len(found) == 26, line
    return [field.strip('"') if field.startswith('"') else field for field in found]


# -- configurations --------------------------------------------------------------


def test_configurations_of_cos(server, cos, bucket, target):
    read = lambda: cos.get_bucket_logging(Bucket=bucket)
    assert "LoggingEnabled" not in read()
    log_by_cos(server, bucket, target, "a b/")
    enabled = {"TargetBucket": target, "TargetPrefix": "a b/"}
    assert read()["LoggingEnabled"] == enabled

    def put(**changed):
        status = {"LoggingEnabled": {**enabled, **changed}}
        return lambda: cos.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status)

    expect(cos_refused(put(TargetBucket="No Bucket")), 400, "TargetBucketNameInvalid")
    missing = f"missing-{harness.APPID}"
    expect(cos_refused(put(TargetBucket=missing)), 400, "InvalidTargetBucketForLogging")
    expect(cos_refused(put(TargetPrefix="x" * 1000)), 400, "LoggingPrefixInvalid")
    expect(cos_refused(put(TargetGrants="")), 400, "MalformedXML")
    assert read()["LoggingEnabled"] == enabled, "the old one stays"
    cos.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in read()


def test_configurations_of_s3(aws, bucket, target):
    read = lambda: aws.get_bucket_logging(Bucket=bucket)
    enabled = {
        "TargetBucket": target,
        "TargetPrefix": "logs/",
        "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
        "TargetGrants": [
            {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
             "Permission": "READ"},
        ],
    }

    def put(change=(), **changed):
        status = {"LoggingEnabled": {**enabled, **dict(change), **changed}}
        return lambda: aws.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status)

    assert "LoggingEnabled" not in read()
    put()()
    assert read()["LoggingEnabled"] == enabled
    simple = {"TargetObjectKeyFormat": {"SimplePrefix": {}}}
    put(simple)()
    assert read()["LoggingEnabled"] == {**enabled, **simple}
    put(TargetObjectKeyFormat={"PartitionedPrefix": {}})()
    form = read()["LoggingEnabled"]["TargetObjectKeyFormat"]
    assert form == {"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}}
    put(simple)()
    group = lambda: aws.put_bucket_acl(Bucket=target, ACL="log-delivery-write")
    assert aws_refused(group) == (501, "NotImplemented")
    target_error = (400, "InvalidTargetBucketForLogging")
    assert aws_refused(put(TargetBucket="missing-1250000000")) == target_error
    assert aws_refused(put(TargetPrefix="x" * 1000)) == (400, "InvalidArgument")
    wrong = {"Grantee": {"Type": "CanonicalUser", "ID": "nobody"}, "Permission": "READ"}
    assert aws_refused(put(TargetGrants=[wrong])) == (400, "InvalidArgument")
    wrong = {**enabled["TargetGrants"][0], "Permission": "READ_ACP"}
    assert aws_refused(put(TargetGrants=[wrong])) == (400, "MalformedXML")
    strict = bucket_name()
    aws.create_bucket(
        Bucket=strict,
        ObjectOwnership="BucketOwnerEnforced",
        CreateBucketConfiguration={"LocationConstraint": harness.REGION},
    )
    assert aws_refused(put(TargetBucket=strict)) == (400, "InvalidArgument")
    elsewhere = bucket_name()
    elsewhere_at = {"LocationConstraint": "ap-beijing"}
    aws.create_bucket(Bucket=elsewhere, CreateBucketConfiguration=elsewhere_at)
    assert aws_refused(put(TargetBucket=elsewhere)) == (403, "CrossLocationLoggingProhibitted")
    assert read()["LoggingEnabled"] == {**enabled, **simple}, "the old one stays"
    aws.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in read()
    assert aws_refused(lambda: aws.get_bucket_logging(Bucket="missing-1250000000"))[0] == 404


def test_who_configures_must_be_allowed_to_write(server, bucket, target):
    policy = {
        "version": "2.0",
        "statement": [{"effect": "allow", "action": ["name/cos:PutBucketLogging"], "resource": "*"}],
    }
    enabled = {"TargetBucket": target, "TargetPrefix": "logs/"}
    for allowed in (False, True):
        if allowed:
            policy["statement"][0]["action"].append("name/cos:PutObject")
        keys = ask(server, policy).Credentials
        by_cos = lambda: cos_of(server, keys).put_bucket_logging(
            Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled}
        )
        by_s3 = lambda: aws_of(server, keys).put_bucket_logging(
            Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled}
        )
        if allowed:
            by_cos()
            by_s3()
        else:
            expect(cos_refused(by_cos), 403, "AccessDenied")
            assert aws_refused(by_s3) == (403, "AccessDenied")
    # Whoever may not write may still have nothing logged.
    policy["statement"][0]["action"].pop()
    cos_of(server, ask(server, policy).Credentials).put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})


def test_each_dialect_shows_what_the_other_has_set(server, aws, cos, bucket, target):
    log_by_s3(server, bucket, target, "s3/", TargetObjectKeyFormat={"SimplePrefix": {}})
    shown = {"TargetBucket": target, "TargetPrefix": "s3/"}
    assert cos.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == shown
    log_by_cos(server, bucket, target, "cos/")
    shown = {"TargetBucket": target, "TargetPrefix": "cos/"}
    assert aws.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == shown


# -- lines -----------------------------------------------------------------------


class Counted:
    """Requests with what the client knows of each, by the id in its answer."""

    def __init__(self, server, bucket):
        self.server, self.bucket, self.known = server, bucket, {}

    def send(self, method, key="", query=None, headers=None, body=None, sign=True, **expected):
        begun = time.time()
        answer = self.server.cos(method, self.bucket, key, query, headers, body, sign=sign)
        id_ = answer.header("x-cos-request-id") or answer.header("x-amz-request-id")
        assert id_ and id_ not in self.known, answer
        self.known[id_] = {
            "method": method,
            "path": "/" + key,
            "status": answer.status,
            "in": len(body or b""),
            "out": len(answer.body),
            "code": answer.code(),
            "agent": (headers or {}).get("User-Agent"),
            "referer": (headers or {}).get("Referer"),
            "signed": sign,
            "begun": begun,
            **expected,
        }
        return answer


def check_cos(counted, lines):
    """Every line beside what is known of its request: none is missing, none is twice."""
    found = {}
    for line in lines:
        fields = of_cos(line)
        assert fields[24] not in found, line
        found[fields[24]] = fields
    for id_, known in counted.known.items():
        fields = found.pop(id_)
        line = " ".join(fields)
        assert fields[:3] == ["1.0", counted.bucket, harness.REGION]
        at = time.mktime(time.strptime(fields[3], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        assert known["begun"] - 2 <= at <= time.time() + 1, line
        assert fields[4] == harness.host_of(counted.bucket)
        if "name" in known:
            assert fields[5] == known["name"], line
        assert fields[6] == "127.0.0.1"
        key_id = harness.SECRET_ID if known["signed"] else "-"
        assert fields[7:9] == [key_id, "-"], line
        assert fields[9] == str(known["in"]), line
        assert urllib.parse.unquote(fields[11]) == known["path"], line
        assert fields[12] == known["method"]
        agent = known["agent"]
        assert agent is None or urllib.parse.unquote(fields[13], "latin-1") == agent, line
        assert fields[14] == str(known["status"]), line
        if known["code"]:
            assert fields[15] == known["code"] and fields[16] != "-", line
        elif known["method"] != "HEAD":
            assert fields[15:17] == ["-", "-"], line
        assert fields[17] == str(known["out"]), line
        assert 0 <= int(fields[22]) <= int(fields[18]) + 1, line
        assert fields[19] == "USER"
        assert fields[21] == harness.OWNER_UIN
        requester = f"{harness.OWNER_UIN}:{harness.OWNER_UIN}" if known["signed"] else "-"
        assert fields[23] == requester, line
        for name, at in (("delta", 10), ("class", 20), ("size", 25), ("version", 26)):
            if name in known:
                assert fields[at] == str(known[name]), (name, line)
        referer = known["referer"] or "-"
        assert urllib.parse.unquote(fields[28], "latin-1") == referer, line
        assert re.fullmatch(rf"{known['method']} /\S* HTTP/1\.1", fields[29]), line
        assert fields[30] == "0"
    assert not found, found


def test_every_request_is_one_line_in_the_form_of_cos(server, bucket, target):
    requests = Counted(server, bucket)
    log_by_cos(server, bucket, target)
    standard = {"class": "STANDARD"}
    send = requests.send
    send("PUT", "small", body=b"x" * 100, name="PutObject", delta=100, size=100, **standard)
    send("PUT", "large", body=b"y" * 300_000, headers={"x-cos-storage-class": "STANDARD_IA"},
         name="PutObject", delta=300_000, size=300_000, **{"class": "STANDARD_IA"})
    send("PUT", "small", body=b"x" * 40, name="PutObject", delta=-60, size=40, **standard)
    send("GET", "small", name="GetObject", delta=0, size=40, version="-", **standard)
    send("GET", "large", headers={"Range": "bytes=10-19"}, name="GetObject", size=300_000,
         **{"class": "STANDARD_IA"})
    send("HEAD", "small", name="HeadObject", size=40, **standard)
    send("GET", "missing", name="GetObject", delta=0, size="-", **{"class": "-"})
    send("HEAD", "missing", name="HeadObject")
    send("GET", name="GetBucket")
    send("GET", "small", sign=False)
    send("PUT", "refused", body=b"z" * 10, sign=False)
    send("GET", "small", headers={"Authorization": "q-sign-algorithm=sha1"}, sign=False)
    send("PUT", "a/b c+d%\"\u4f60\n", body=b"", name="PutObject", delta=0, size=0)
    hostile = {"User-Agent": 'evil " \\ agent\t\xe9', "Referer": 'http://x/"y z"'}
    send("GET", "small", headers=hostile, name="GetObject")
    send("PUT", "copy", headers={"x-cos-copy-source": f"{harness.host_of(bucket)}/small"},
         name="PutObjectCopy", delta=40, size=40, **standard)
    send("GET", query={"uploads": ""}, name="ListMultipartUploads")
    send("PUT", "small", query={"tagging": ""}, body=b"<nonsense", name="PutObjectTagging")
    answer = send("POST", "parts", query={"uploads": ""}, name="InitiateMultipartUpload", delta=0)
    upload = re.search(rb"<UploadId>(\w+)</UploadId>", answer.body)[1].decode()
    part = {"partNumber": "1", "uploadId": upload}
    answer = send("PUT", "parts", query=part, body=b"p" * 7, name="UploadPart", delta=7, size="-")
    etag = answer.header("ETag")
    complete = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    send("POST", "parts", query={"uploadId": upload}, body=complete,
         name="CompleteMultipartUpload", delta=0, size=7)
    send("DELETE", "large", name="DeleteObject", delta=-300_000)
    send("DELETE", "nothing", name="DeleteObject", delta=0)
    reader = Reader(server, target)
    lines = reader.wait(len(requests.known))
    check_cos(requests, lines)
    for key in reader.seen:
        path = r"logs/(\d{4})/(\d\d)/(\d\d)/\1\2\3\d{6}_[0-9a-f]{8}_\d{3}\.gz"
        assert re.fullmatch(path, key), key
    stored = sum(int(of_cos(line)[10]) for line in lines)
    listed = s3(server).list_objects_v2(Bucket=bucket)["Contents"]
    assert stored == sum(entry["Size"] for entry in listed), "what was stored adds up"


def test_versions_have_their_names(server, aws, bucket, target):
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    requests = Counted(server, bucket)
    log_by_cos(server, bucket, target)
    made = requests.send("PUT", "k", body=b"1", delta=1).header("x-cos-version-id")
    list(requests.known.values())[0]["version"] = made
    requests.send("PUT", "k", body=b"22", delta=2)
    requests.send("GET", "k", query={"versionId": made}, version=made, size=1)
    requests.send("DELETE", "k", delta=0)
    requests.send("DELETE", "k", query={"versionId": made}, version=made, delta=-1)
    check_cos(requests, Reader(server, target).wait(len(requests.known)))


def test_links_do_not_give_their_signatures_away(server, cos, bucket, target):
    server.cos("PUT", bucket, "k", body=b"x")
    log_by_cos(server, bucket, target)
    link = urllib.parse.urlsplit(cos.get_presigned_url(bucket, "k", "GET"))
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    # What a page that was opened by a link loads from the same host.
    headers = {"Host": link.netloc, "Referer": link.geturl()}
    connection.request("GET", f"{link.path}?{link.query}", headers=headers)
    assert connection.getresponse().status == 200
    line = Reader(server, target).wait(1)
    assert len(line) == 1 and line[0].count("q-signature=***") == 2 and harness.SECRET_ID in line[0]
    signature = urllib.parse.parse_qs(link.query)["q-signature"][0]
    assert signature not in line[0]


def test_an_aborted_download_says_what_was_sent(server, bucket, target):
    size = 64 << 20
    s3(server).put_object(Bucket=bucket, Key="big", Body=b"\0" * size)
    log_by_cos(server, bucket, target)
    authorization = harness.cos_authorization("GET", "/big", {}, {"host": harness.host_of(bucket)})
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        head = f"GET /big HTTP/1.1\r\nHost: {harness.host_of(bucket)}\r\n"
        connection.sendall(f"{head}Authorization: {authorization}\r\n\r\n".encode())
        got = 0
        while got < 100_000:
            got += len(connection.recv(65536))
    fields = of_cos(Reader(server, target).wait(1)[0])
    assert got - 1000 <= int(fields[17]) < size and fields[25] == str(size), fields


class CountedByS3:
    """The same through boto3."""

    def __init__(self, server, bucket):
        self.bucket, self.known = bucket, {}
        self.client = s3(server, user_agent_extra='my "agent"')
        self.client.meta.events.register("after-call", self.done)

    def done(self, http_response, parsed, model, **_):
        body = http_response.content if not model.has_streaming_output else None
        id_ = parsed["ResponseMetadata"]["RequestId"]
        self.known[id_] = {
            "operation": model.name,
            "status": http_response.status_code,
            "out": body and len(body),
            "code": parsed.get("Error", {}).get("Code") if body else None,
        }


def test_every_request_is_one_line_in_the_form_of_s3(server, bucket, target):
    requests = CountedByS3(server, bucket)
    client = requests.client
    log_by_s3(server, bucket, target, "s3 logs/")
    client.put_object(Bucket=bucket, Key="a b\"'/\u4f60", Body=b"x" * 1000)
    body = client.get_object(Bucket=bucket, Key="a b\"'/\u4f60", Range="bytes=0-9")["Body"].read()
    assert len(body) == 10
    client.head_object(Bucket=bucket, Key="a b\"'/\u4f60")
    client.list_objects_v2(Bucket=bucket)
    aws_refused(lambda: client.get_object(Bucket=bucket, Key="missing"))
    aws_refused(lambda: client.get_bucket_policy(Bucket=bucket))
    client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b\"'/\u4f60"})
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "missing"}]})
    upload = client.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    client.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"123")
    client.list_parts(Bucket=bucket, Key="m", UploadId=upload)
    client.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    client.get_bucket_acl(Bucket=bucket)
    client.get_object_tagging(Bucket=bucket, Key="a b\"'/\u4f60")
    called = {
        "PutObject": "REST.PUT.OBJECT",
        "GetObject": "REST.GET.OBJECT",
        "HeadObject": "REST.HEAD.OBJECT",
        "ListObjectsV2": "REST.GET.BUCKET",
        "GetBucketPolicy": "REST.GET.BUCKETPOLICY",
        "CopyObject": "REST.COPY.OBJECT",
        "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
        "CreateMultipartUpload": "REST.POST.UPLOADS",
        "UploadPart": "REST.PUT.PART",
        "ListParts": "REST.GET.UPLOAD",
        "AbortMultipartUpload": "REST.DELETE.UPLOAD",
        "GetBucketAcl": "REST.GET.ACL",
        "GetObjectTagging": "REST.GET.OBJECT_TAGGING",
    }
    reader = Reader(server, target, "s3 logs/")
    # What a copy reads has a line of its own, and so has each of many keys.
    lines = reader.wait(len(requests.known) + 3)
    for key in reader.seen:
        assert re.fullmatch(r"s3 logs/\d{4}(-\d\d){5}-[0-9A-F]{16}", key), key
    found, besides = {}, []
    for line in lines:
        fields = of_s3(line)
        if fields[6] in ("REST.COPY.OBJECT_GET", "BATCH.DELETE.OBJECT"):
            besides.append(fields)
            continue
        assert fields[5] not in found
        found[fields[5]] = fields
    ids = {known["operation"]: id_ for id_, known in requests.known.items()}
    for fields in besides:
        is_copy = fields[6] == "REST.COPY.OBJECT_GET"
        assert fields[5] == ids["CopyObject" if is_copy else "DeleteObjects"], fields
        assert fields[1] == bucket and fields[4] == harness.OWNER_UIN
        size, status = ("1000", "200") if is_copy else ("-", "204")
        assert fields[9:13] == [status, "-", "-", size], fields
        assert (fields[8] == "-") != is_copy and fields[19] == "SigV4"
    assert sorted(urllib.parse.unquote(fields[7]) for fields in besides) == [
        "a b\"'/\u4f60", "copy", "missing"
    ]
    for id_, known in requests.known.items():
        fields = found.pop(id_)
        assert fields[0] == fields[4] == harness.OWNER_UIN and fields[1] == bucket, fields
        assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]", fields[2])
        assert fields[3] == "127.0.0.1"
        assert fields[6] == called[known["operation"]], fields
        assert fields[9] == str(known["status"])
        if known["code"]:
            assert fields[10] == known["code"]
        if known["out"] is not None and known["operation"] != "HeadObject":
            assert fields[11] == (str(known["out"]) if known["out"] else "-"), fields
        assert "%22agent%22" in fields[16] and " " in fields[16], fields
        assert fields[19] == "SigV4" and fields[21] == "AuthHeader", fields
        if known["operation"] in ("PutObject", "HeadObject", "GetObjectTagging"):
            assert urllib.parse.unquote(fields[7]) == "a b\"'/\u4f60"
        if known["operation"] in ("PutObject", "HeadObject"):
            assert fields[12] == "1000", fields
        if known["operation"] == "GetObject" and known["status"] == 206:
            assert fields[11:13] == ["10", "1000"]
    assert not found, found


def test_partitioned_names_and_grants(server, aws, bucket, target):
    reader = {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
              "Permission": "READ"}
    for source, clock in (("EventTime", "00-00-00"), ("DeliveryTime", r"\d\d-\d\d-\d\d")):
        form = {"PartitionedPrefix": {"PartitionDateSource": source}}
        log_by_s3(server, bucket, target, f"{source}/", TargetObjectKeyFormat=form,
                  TargetGrants=[reader])
        assert server.cos("GET", bucket).status == 200
        folder = f"{source}/{harness.OWNER_UIN}/{harness.REGION}/{bucket}"
        found = Reader(server, target, f"{source}/")
        found.wait(1)
        for key in found.seen:
            wanted = rf"{folder}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-{clock}-[0-9A-F]{{16}}"
            assert re.fullmatch(wanted, key), key
            # Without a signature.
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("GET", "/" + key, headers={"Host": harness.host_of(target)})
            assert connection.getresponse().status == 200
    assert harness.Answer(anonymous(server, target, "nothing")).status == 403


def anonymous(server, bucket, key):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/" + key, headers={"Host": harness.host_of(bucket)})
    return connection.getresponse()


def test_a_bucket_may_hold_its_own_logs(server, bucket):
    log_by_cos(server, bucket, bucket)
    requests = Counted(server, bucket)
    requests.send("PUT", "k", body=b"x")
    deadline = time.monotonic() + 20
    delivered = "costrel_logs_objects_total"
    before = server.metric(delivered)
    while server.metric(delivered) == before and time.monotonic() < deadline:
        time.sleep(0.1)
    # Nobody asks for anything, so nothing more is delivered.
    time.sleep(2 * WINDOW_S + 1)
    settled = server.metric(delivered)
    time.sleep(3 * WINDOW_S)
    assert settled > before and server.metric(delivered) == settled


def test_deliveries_count_as_objects(server, bucket, target):
    log_by_cos(server, bucket, target)
    assert server.cos("GET", bucket).status == 200
    Reader(server, target).wait(1)
    listed = s3(server).list_objects_v2(Bucket=target)["Contents"]
    labels = f'bucket="{target}",class="STANDARD",kind="current"'
    text = server.console("/metrics")[1]
    total = re.search(rf"^costrel_bucket_bytes{{{labels}}} (\S+)$", text, re.M)[1]
    assert int(total) == sum(entry["Size"] for entry in listed)


def test_the_end_of_a_bucket_is_logged(server, bucket, target):
    log_by_cos(server, bucket, target)
    assert server.cos("DELETE", bucket).status == 204
    assert [of_cos(line)[5] for line in Reader(server, target).wait(1)] == ["DeleteBucket"]


# -- what may happen -------------------------------------------------------------


def test_a_missing_target_is_waited_for(bucket):
    server = harness.new_server(env=ENV).start()
    server.announce("a log was not delivered")
    for name in (bucket, "target-1250000000"):
        assert server.cos("PUT", name).status == 200
    log_by_cos(server, bucket, "target-1250000000")
    assert server.cos("DELETE", "target-1250000000").status == 204
    requests = Counted(server, bucket)
    for number in range(20):
        requests.send("PUT", f"k{number}", body=b"x" * number)
    deadline = time.monotonic() + 20
    while server.metric("costrel_logs_waiting_requests") < 20:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.metric("costrel_logs_failures_total") > 0
    assert server.metric("costrel_logs_waiting_bytes") > 0
    # It survives a restart, too.
    assert server.stop() == 0
    server.start()
    assert server.cos("PUT", "target-1250000000").status == 200
    check_cos(requests, Reader(server, "target-1250000000").wait(20, seconds=40))
    assert server.metric("costrel_logs_lost_total") == 0
    server.finish()


def test_a_clean_stop_loses_nothing(bucket, target):
    server = harness.new_server(env=ENV).start()
    for name in (bucket, target):
        assert server.cos("PUT", name).status == 200
    log_by_cos(server, bucket, target)
    requests = Counted(server, bucket)
    for turn in range(3):
        until = time.monotonic() + 0.7 * (turn + 1)
        while time.monotonic() < until:
            requests.send("PUT", "k", body=b"x")
        assert server.stop() == 0
        server.start()
    check_cos(requests, Reader(server, target).wait(len(requests.known)))
    server.finish()


def test_a_crash_loses_no_more_than_is_said(bucket, target):
    server = harness.new_server(env=ENV).start()
    for name in (bucket, target):
        assert server.cos("PUT", name).status == 200
    log_by_cos(server, bucket, target)
    requests, ended, killed = Counted(server, bucket), {}, []
    for turn in range(3):
        until = time.monotonic() + LOST_S + 0.6 * (turn + 1)
        while time.monotonic() < until:
            requests.send("PUT", f"k{turn}", body=b"x" * 10)
            ended.setdefault(list(requests.known)[-1], time.monotonic())
        server.kill()
        killed.append(time.monotonic())
        server.start()
    reader = Reader(server, target)
    reader.settle()
    lines = reader.lines
    ids = [of_cos(line)[24] for line in lines]
    assert len(ids) == len(set(ids)), "no line is there twice"
    lost = set(requests.known) - set(ids)
    for id_ in lost:
        crash = min(at for at in killed if at > ended[id_])
        assert crash - ended[id_] < LOST_S * server.slowness, "it was to be kept by then"
        del requests.known[id_]
    check_cos(requests, lines)
    print(f"{len(lost)} of {len(ended)} lost")
    server.finish()


# -- `costrel logs top` ----------------------------------------------------------


def top(server, *arguments):
    ran = server.operate("logs", "top", *arguments)
    return ran.returncode, [shlex.split(line) for line in ran.stdout.splitlines()], ran.stderr


def test_how_often_each_object_was_requested(server, bucket, target, tmp_path):
    server.cos("PUT", bucket, "a b", body=b"x" * 10)
    server.cos("PUT", bucket, "c", body=b"y" * 7)
    for number, form in enumerate((log_by_cos, log_by_s3)):
        form(server, bucket, target, f"logs{number}/")
        for _ in range(5):
            assert server.cos("GET", bucket, "a b").status == 200
        for _ in range(3):
            assert server.cos("GET", bucket, "c").status == 200
        server.cos("GET", bucket)
        Reader(server, target, f"logs{number}/").wait(9)
        code, lines, complaint = top(server, bucket)
        assert (code, complaint) == (0, "")
        assert lines[1:3] == [["5", "50", bucket, "a b"], ["3", "21", bucket, "c"]], lines
        assert top(server, bucket, "--count", "1")[1][2] == ["3", "21", "other", "objects"]
    for key in names(server, target, "logs"):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3(server).get_object(Bucket=target, Key=key)["Body"].read())
    code, lines, complaint = top(server, "--folder", str(tmp_path))
    assert (code, complaint) == (0, "")
    assert lines[1:3] == [["10", "100", bucket, "a b"], ["6", "42", bucket, "c"]], lines
    assert server.console(f"/logs/top?bucket={bucket}")[0] == 403
    assert top(server, "missing-1250000000")[0] == 1
    assert top(server)[0] == 2
    assert "not logged" in top_text(server, target)


def top_text(server, bucket):
    return " ".join(" ".join(line) for line in top(server, bucket)[1])
