"""Series of buckets through Monitor of Tencent Cloud API 3.0, and the same figures at
/metrics and from `costrel usage show`, compared with what the clients have counted
themselves: to the request and to the byte, and the same after a kill."""

import collections
import datetime
import time

import pytest
import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException

import harness
from conftest import bucket_name
from cosclient import make_client
from s3client import s3
from test_cloud_api import profile, refused
from test_usage import usage
from test_users import Cam, policy, unused

MIB = 1 << 20
DAY_S = 20

# How long counts may take that are to be stored within a second or so.
PATIENCE_S = 60


# Metrics of what requests come to, by what clients call it that count for themselves.
REQUESTS = {
    "read": "GetRequests",
    "write": "PutRequests",
    "2xx": "2xxResponse",
    "3xx": "3xxResponse",
    "4xx": "4xxResponse",
    "5xx": "5xxResponse",
    403: "403Response",
    404: "404Response",
}


class Monitor:
    """`monitor.GetMonitorData(MetricName="StdStorage", …)`."""

    def __init__(self, server, id=harness.SECRET_ID, key=harness.SECRET_KEY, **more):
        credential = Credential(id, key)
        self.client = CommonClient(
            "monitor", "2018-07-24", credential, harness.REGION, profile=profile(server, **more)
        )

    def __getattr__(self, action):
        return lambda **parameters: self.client.call_json(action, parameters)["Response"]

    def data(self, bucket, metric, **parameters):
        parameters.setdefault("Period", 300)
        parameters.setdefault("StartTime", china(time.time() - 1000))
        instance = {
            "Dimensions": [
                {"Name": "appid", "Value": harness.APPID},
                {"Name": "bucket", "Value": bucket},
            ]
        }
        answer = self.GetMonitorData(
            Namespace="QCE/COS", MetricName=metric, Instances=[instance], **parameters
        )
        assert answer["MetricName"] == metric and answer["Period"] == parameters["Period"]
        (points,) = answer["DataPoints"]
        assert points["Dimensions"] == instance["Dimensions"]
        # By China's clock.
        assert all((at + 8 * 3600) % answer["Period"] == 0 for at in points["Timestamps"])
        assert sorted(set(points["Timestamps"])) == points["Timestamps"]
        return points["Values"]

    def sum(self, bucket, metric, **parameters):
        return sum(self.data(bucket, metric, **parameters))

    def sums(self, bucket, metrics, **parameters):
        return {name: self.sum(bucket, metric, **parameters) for name, metric in metrics.items()}

    def last(self, bucket, metric):
        """None while there is nothing yet, as in the first moments of a period."""
        return (self.data(bucket, metric) or [None])[-1]


def china(seconds):
    zone = datetime.timezone(datetime.timedelta(hours=8))
    return datetime.datetime.fromtimestamp(seconds, zone).isoformat(timespec="seconds")


def wait_until(is_so):
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Counted:
    """What a client knows that it has sent and received."""

    def __init__(self):
        self.figures = collections.Counter()
        self.session = requests.Session()
        self.session.hooks["response"].append(self.hear)

    def hear(self, response, **_):
        sent = int(response.request.headers.get("Content-Length") or 0)
        self.add(response.request.method, response.status_code, sent, len(response.content))

    def add(self, method, status, sent=0, received=0):
        kind = "read" if method in ("GET", "HEAD", "OPTIONS") else "write"
        self.figures[kind] += 1
        self.figures[status] += 1
        self.figures[f"{status // 100}xx"] += 1
        self.figures["in"] += sent
        self.figures["out"] += received

    def settle(self, monitor, bucket):
        """Compares the series once all is stored."""
        total = self.figures["read"] + self.figures["write"]
        wait_until(lambda: monitor.sum(bucket, "TotalRequests") >= total)
        self.agree(monitor, bucket)

    def agree(self, monitor, bucket, **parameters):
        """Compares the series."""
        metrics = {**REQUESTS, "in": "InternalTrafficUp", "out": "InternalTraffic"}
        told = monitor.sums(bucket, metrics, **parameters)
        assert told == {name: self.figures[name] for name in told}
        total = self.figures["read"] + self.figures["write"]
        assert monitor.sum(bucket, "TotalRequests", **parameters) == total
        assert monitor.sum(bucket, "InternetTraffic", **parameters) == 0
        assert monitor.sum(bucket, "InboundTraffic", **parameters) == self.figures["in"]


@pytest.fixture(scope="module")
def server():
    server = harness.new_server(env={"COSTREL_USAGE_SECONDS": "1"}).start()
    yield server
    server.finish()


@pytest.fixture
def monitor(server):
    return Monitor(server)


def work(server, bucket, counted, rounds=1):
    """A known stream of requests of both dialects."""
    cos = make_client(server, Endpoint=f"{harness.ENDPOINT}:{server.port}")
    # Who served the last one may have been killed.
    counted.session.close()
    cos._session = counted.session
    aws = s3(server, request_checksum_calculation="when_required")
    for number in range(rounds):
        key = f"k{number}"
        cos.put_object(bucket, b"x" * 1000, key)
        cos.put_object(bucket, b"y" * 2000, f"{key}-ia", StorageClass="STANDARD_IA")
        cos.get_object(bucket, key, Range="bytes=0-99")
        cos.get_object(bucket, f"{key}-ia")
        cos.head_object(bucket, key)
        cos.list_objects(bucket)
        for method in (cos.get_object, cos.head_object):
            with pytest.raises(Exception):
                method(bucket, "missing")
        with pytest.raises(Exception):
            cos.get_object(bucket, key, IfModifiedSince="Fri, 01 Jan 2044 00:00:00 GMT")
        upload = cos.create_multipart_upload(bucket, "big", StorageClass="STANDARD_IA")["UploadId"]
        part = cos.upload_part(bucket, "big", b"z" * MIB, 1, upload)
        parts = {"Part": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        cos.complete_multipart_upload(bucket, "big", upload, parts)
        cos.delete_object(bucket, "big")
        aws.put_object(Bucket=bucket, Key=f"{key}-s3", Body=b"w" * 500)
        counted.add("PUT", 200, sent=500)
        got = aws.get_object(Bucket=bucket, Key=f"{key}-s3")["Body"].read()
        counted.add("GET", 200, received=len(got))
        refusal = requests.get(f"http://127.0.0.1:{server.port}/{bucket}/{key}")
        assert refusal.status_code == 403
        counted.add("GET", 403, received=len(refusal.content))


def test_series_say_what_clients_have_counted(server, monitor):
    bucket = bucket_name()
    assert server.cos("PUT", bucket).status == 200
    counted = Counted()
    counted.add("PUT", 200)
    work(server, bucket, counted, rounds=3)
    counted.settle(monitor, bucket)
    counted.agree(monitor, bucket, Period=60)
    counted.agree(monitor, bucket, Period=3600, StartTime=china(time.time() - 7200))
    counted.agree(monitor, bucket, Period=86_400, StartTime=china(time.time() - 86_400))
    # Of each round: PUT, GET; initiate, upload, complete.
    assert monitor.sum(bucket, "IaReadRequests") == 3
    assert monitor.sum(bucket, "IaWriteRequests") == 3 * 4
    reads, writes = counted.figures["read"], counted.figures["write"]
    assert monitor.sum(bucket, "StdReadRequests") == reads - 3
    assert monitor.sum(bucket, "StdWriteRequests") == writes - 12
    assert monitor.sum(bucket, "IaRetrieval") == 3 * 2000
    assert monitor.sum(bucket, "StdRetrieval") == 3 * 600
    share = counted.figures["4xx"] * 100 / (reads + writes)
    assert monitor.data(bucket, "4xxResponseRate", Period=86_400)[-1] == pytest.approx(share)
    # Looked at once a second.
    wait_until(lambda: monitor.last(bucket, "SiaStorage") == 3 * 2000 / MIB)
    assert monitor.last(bucket, "StdStorage") == 3 * 1500 / MIB
    assert monitor.last(bucket, "StdObjectNumber") == 6
    assert monitor.last(bucket, "IaObjectNumber") == 3
    assert monitor.last(bucket, "StdMultipartNumber") == 0

    shown = [line for line in usage(server, "show", bucket)[1] if line.endswith("today")]
    assert shown == [
        f"{reads} requests that read, today",
        f"{writes} requests that wrote, today",
        f"{counted.figures['in']} bytes in from internal networks, today",
        f"{counted.figures['out']} bytes out to internal networks, today",
    ]
    ia = {"bucket": bucket, "class": "STANDARD_IA"}
    assert server.metric("costrel_bucket_requests_total", **ia, kind="write") == 12
    assert server.metric("costrel_bucket_retrieved_bytes_total", **ia) == 6000
    refused = server.metric("costrel_bucket_responses_total", bucket=bucket, status="403")
    assert refused == counted.figures[403]
    received = {"network": "internal", "direction": "in"}
    traffic = server.metric("costrel_bucket_traffic_bytes_total", bucket=bucket, **received)
    assert traffic == counted.figures["in"]


def test_a_clean_stop_loses_nothing_and_a_kill_the_last_second():
    server = harness.new_server(env={"COSTREL_USAGE_SECONDS": "1"}).start()
    bucket = bucket_name()
    assert server.cos("PUT", bucket).status == 200
    counted = Counted()
    counted.add("PUT", 200)
    work(server, bucket, counted)
    assert server.stop() == 0
    server.start()
    counted.agree(Monitor(server), bucket)
    work(server, bucket, counted)
    counted.settle(Monitor(server), bucket)
    server.kill()
    server.start()
    counted.agree(Monitor(server), bucket)
    work(server, bucket, counted)
    counted.settle(Monitor(server), bucket)
    # Of a bucket that is gone, once somebody has seen that it held something: on a cluster
    # the work of the gateways that were killed is taken over after a while.
    wait_until(lambda: Monitor(server).last(bucket, "StdStorage"))
    for entry in s3(server).list_objects_v2(Bucket=bucket)["Contents"]:
        assert server.cos("DELETE", bucket, entry["Key"]).status == 204
    assert server.cos("DELETE", bucket).status == 204
    wait_until(lambda: Monitor(server).last(bucket, "StdStorage") == 0)
    more = counted.figures["write"] + 1
    wait_until(lambda: Monitor(server).sum(bucket, "PutRequests") >= more)
    server.finish()


def test_short_days_come_to_the_same():
    """With days of some seconds, rows are put together and summed up meanwhile."""
    env = {"COSTREL_USAGE_SECONDS": "1", "COSTREL_DAY_SECONDS": str(DAY_S)}
    server = harness.new_server(env=env).start()
    bucket = bucket_name()
    assert server.cos("PUT", bucket).status == 200
    counted = Counted()
    counted.add("PUT", 200)
    until = time.monotonic() + 2 * DAY_S
    while time.monotonic() < until:
        work(server, bucket, counted)
        time.sleep(1)
    counted.settle(Monitor(server), bucket)
    server.kill()
    server.start()
    page = server.console("/metrics")[1]
    counted.agree(Monitor(server), bucket)
    deadline = time.monotonic() + 2 * DAY_S
    while server.metric("costrel_usage_days_total") < 1:
        assert time.monotonic() < deadline, page
        time.sleep(1)
    counted.agree(Monitor(server), bucket)
    server.finish()


def test_metrics_are_described(monitor):
    found = monitor.DescribeBaseMetrics(Namespace="qce/cos")["MetricSet"]
    assert len(found) == len({metric["MetricName"] for metric in found}) > 50
    (storage,) = monitor.DescribeBaseMetrics(
        Namespace="QCE/COS", MetricName="SiaStorage", Dimensions=["appid", "bucket"]
    )["MetricSet"]
    assert storage["Unit"] == "MB" and storage["Period"] == [300, 3600, 86400]
    assert storage["Dimensions"] == [{"Dimensions": ["appid", "bucket"]}]
    assert storage["Periods"][0] == {"Period": "300", "StatType": ["last"]}
    none = monitor.DescribeBaseMetrics(Namespace="QCE/COS", Dimensions=["uin"])
    assert none["MetricSet"] == []
    wrong = monitor.DescribeBaseMetrics
    code = refused(lambda: wrong(Namespace="QCE/COS", MetricName="CdnOriginTraffic"))
    assert code == "InvalidParameterValue"
    # Each that is described is answered.
    bucket = bucket_name()
    for metric in found:
        for period in metric["Period"]:
            assert monitor.data(bucket, metric["MetricName"], Period=period) == []


@pytest.mark.parametrize("signature", ["HmacSHA1", "HmacSHA256"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_flat_parameters(server, monitor, signature, method):
    """The old signatures send lists as pairs."""
    bucket = bucket_name()
    assert server.cos("PUT", bucket).status == 200
    wait_until(lambda: monitor.sum(bucket, "PutRequests") > 0)
    credential = Credential(harness.SECRET_ID, harness.SECRET_KEY)
    settings = profile(server, signature=signature, method=method)
    client = CommonClient("monitor", "2018-07-24", credential, harness.REGION, profile=settings)
    parameters = {
        "Namespace": "QCE/COS",
        "MetricName": "PutRequests",
        "Instances.0.Dimensions.0.Name": "appid",
        "Instances.0.Dimensions.0.Value": harness.APPID,
        "Instances.0.Dimensions.1.Name": "bucket",
        "Instances.0.Dimensions.1.Value": bucket,
    }
    answer = client.call_json("GetMonitorData", parameters)["Response"]
    assert answer["Period"] == 300
    assert sum(answer["DataPoints"][0]["Values"]) == 1


def test_bad_requests(monitor, bucket):
    now = time.time()

    def code(**changes):
        parameters = {"Period": 60, "StartTime": china(now - 60), "EndTime": china(now), **changes}
        return refused(lambda: monitor.data(bucket, "StdReadRequests", **parameters))

    assert code(Period=61) == "InvalidParameterValue"
    assert code(Period="60") == "InvalidParameter"
    assert code(StartTime="yesterday") == "InvalidParameterValue"
    assert code(StartTime=china(now + 600)) == "InvalidParameterValue"
    assert code(StartTime=china(now - 25 * 3600)) == "InvalidParameterValue"
    assert code(Period=300, StartTime=china(now - 6 * 86_400)) == "InvalidParameterValue"
    # A day by minutes, and what is left of today if nothing is said.
    assert monitor.sum(bucket, "5xxResponse", Period=60, StartTime=china(now - 86_300)) == 0
    assert monitor.sum(bucket, "5xxResponse", Period=60, StartTime="") == 0
    old = {"StartTime": china(now - 16 * 86_400), "EndTime": china(now - 16 * 86_400 + 60)}
    assert code(**old) == "InvalidParameterValue"
    assert code(SpecifyStatistics=1) == "UnsupportedOperation"
    assert code(Conditions=[]) == "UnknownParameter"
    with pytest.raises(TencentCloudSDKException):
        monitor.data(bucket, "StdStorage", Period=60)

    def instances(given):
        return refused(
            lambda: monitor.GetMonitorData(
                Namespace="QCE/COS", MetricName="StdStorage", Instances=given
            )
        )

    def instance(**dimensions):
        pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        return {"Dimensions": pairs}

    good = instance(appid=harness.APPID, bucket=bucket)
    assert instances([]) == "MissingParameter"
    assert instances([good] * 11) == "InvalidParameterValue"
    assert instances([instance(bucket=bucket)]) == "InvalidParameterValue"
    assert instances([instance(appid=harness.APPID, uin="1")]) == "InvalidParameterValue"
    assert instances([instance(appid="1251111111", bucket=bucket)]) == (
        "AuthFailure.UnauthorizedOperation"
    )
    assert instances("all") == "MissingParameter"
    for namespace, metric, expected in [
        ("QCE/CVM", "StdStorage", "InvalidParameterValue"),
        ("QCE/COS", "stdstorage", "InvalidParameterValue"),
        ("QCE/COS", None, "MissingParameter"),
    ]:
        parameters = {"Namespace": namespace, "MetricName": metric, "Instances": [good]}
        given = {name: value for name, value in parameters.items() if value is not None}
        assert refused(lambda: monitor.GetMonitorData(**given)) == expected
    assert refused(lambda: monitor.PutMonitorData()) == "UnsupportedOperation"


def test_it_has_to_be_granted(server, bucket):
    cam = Cam(server)
    user = cam.AddUser(Name=unused("watcher"), UseApi=1)
    theirs = Monitor(server, user.SecretId, user.SecretKey)
    denied = "AuthFailure.UnauthorizedOperation"
    assert refused(lambda: theirs.data(bucket, "StdStorage")) == denied
    assert refused(lambda: theirs.DescribeBaseMetrics(Namespace="QCE/COS")) == denied
    granted = policy(cam, {"action": ["name/monitor:GetMonitorData"]})
    cam.AttachUserPolicy(PolicyId=granted, AttachUin=user.Uin)
    time.sleep(1.2)
    theirs.data(bucket, "StdStorage")
    assert refused(lambda: theirs.DescribeBaseMetrics(Namespace="QCE/COS")) == denied


def test_buckets_that_are_not_there_make_no_rows(server, monitor):
    name = bucket_name()
    for _ in range(20):
        assert server.cos("GET", name, "k").status == 404
    # What was asked later is counted.
    later = bucket_name()
    assert server.cos("PUT", later).status == 200
    wait_until(lambda: monitor.sum(later, "PutRequests") > 0)
    assert monitor.data(name, "TotalRequests") == []
    assert name not in server.console("/metrics")[1]
