"""Every way a client may find the server: host names, addresses, proxies."""

import http.client

import pytest
import requests

import harness
from checksums import body
from conftest import bucket_name
from cosclient import make_client
from harness import Answer, cos_authorization
from s3client import s3
from test_cos_python import read


def check_cos(client, bucket):
    client.put_object(Bucket=bucket, Key="目录/k + k", Body=body(5000))
    assert read(client.get_object(Bucket=bucket, Key="目录/k + k")) == body(5000)
    page = client.list_objects(Bucket=bucket, Prefix="目录/")
    assert [e["Key"] for e in page["Contents"]] == ["目录/k + k"]
    client.head_bucket(Bucket=bucket)
    client.delete_object(Bucket=bucket, Key="目录/k + k")


def test_cos_by_endpoint(server, bucket):
    check_cos(make_client(server), bucket)
    check_cos(make_client(server, Endpoint=f"cos.{harness.REGION}.tencentcos.cn:{server.port}"), bucket)


def test_cos_by_domain(server, bucket):
    domain = f"{harness.host_of(bucket)}:{server.port}"
    check_cos(make_client(server, Endpoint=None, Region=harness.REGION, Domain=domain), bucket)


def test_cos_by_ip_and_port(server, bucket):
    check_cos(
        make_client(server, Endpoint=None, Region=harness.REGION, IP="127.0.0.1", Port=server.port), bucket
    )


def test_cos_by_proxy(server, bucket):
    proxies = {"http": f"http://127.0.0.1:{server.port}"}
    client = make_client(server, Endpoint=None, Region=harness.REGION, Proxies=proxies)
    check_cos(client, bucket)
    assert bucket in [b["Name"] for b in client.list_buckets()["Buckets"]["Bucket"]]


def test_cos_service_hosts(server, bucket):
    for host in ("service.cos.myqcloud.com", harness.ENDPOINT):
        headers = {"Host": host}
        headers["Authorization"] = cos_authorization("GET", "/", {}, {"host": host})
        answer = requests.get(f"http://127.0.0.1:{server.port}/", headers=headers)
        assert answer.status_code == 200 and bucket in answer.text, answer.text


def test_cos_path_style(server, bucket):
    path = f"/{bucket}/dir/k"
    headers = {"Host": harness.ENDPOINT}
    for method, status in (("PUT", 200), ("GET", 200), ("HEAD", 200), ("DELETE", 204)):
        headers["Authorization"] = cos_authorization(method, path, {}, {"host": harness.ENDPOINT})
        answer = requests.request(
            method, f"http://127.0.0.1:{server.port}{path}", headers=headers, data=b"x" if method == "PUT" else None
        )
        assert answer.status_code == status, (method, answer.text)


@pytest.mark.parametrize(
    "endpoint, style",
    [
        ("127.0.0.1", "path"),
        ("localhost", "path"),
        (harness.ENDPOINT, "path"),
        (harness.ENDPOINT, "virtual"),
        (f"cos.{harness.REGION}.tencentcos.cn", "virtual"),
    ],
)
def test_s3(server, bucket, endpoint, style):
    client = s3(server, style, endpoint=f"http://{endpoint}:{server.port}")
    client.put_object(Bucket=bucket, Key="a b/中", Body=b"x")
    assert client.get_object(Bucket=bucket, Key="a b/中")["Body"].read() == b"x"
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert bucket in [b["Name"] for b in client.list_buckets()["Buckets"]]
    client.delete_object(Bucket=bucket, Key="a b/中")


def test_s3_by_proxy(server, bucket):
    for style in ("path", "virtual"):
        client = s3(
            server, style, endpoint=f"http://{harness.ENDPOINT}",
            proxies={"http": f"http://127.0.0.1:{server.port}"},
        )
        client.put_object(Bucket=bucket, Key="k +", Body=b"x")
        assert client.get_object(Bucket=bucket, Key="k +")["Body"].read() == b"x"
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def absolute_form(server, url, host, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_it_is_no_open_proxy(server):
    for url in ("http://example.com/", "http://127.0.0.2:9/x", "ftp://cos.ap-x.myqcloud.com/"):
        answer = absolute_form(server, url, "example.com")
        assert 400 <= answer.status < 500, (url, answer)
    answer = absolute_form(server, "example.com:443", "example.com:443", method="CONNECT")
    assert 400 <= answer.status < 600 and answer.status != 200, answer


def test_the_target_outranks_the_host_header(server, bucket):
    # RFC 9112: with an absolute-form target the Host field is ignored.
    host = harness.host_of(bucket)
    answer = absolute_form(server, f"http://{host}/missing", "example.com")
    assert answer.status == 403 and answer.code() == "AccessDenied", answer


def test_hosts_without_sense(server):
    for host in ("", "..", "a b", "x" * 300 + ".myqcloud.com", "[::1", None):
        connection = server.connect()
        line = f"Host: {host}\r\n" if host is not None else ""
        connection.sendall(f"GET / HTTP/1.1\r\n{line}Connection: close\r\n\r\n".encode())
        head = connection.makefile("rb").readline()
        connection.close()
        assert head.split()[1] in (b"400", b"403"), (host, head)


def test_case_and_port_of_the_host(server, bucket):
    for host in (
        harness.host_of(bucket).upper(),
        f"{harness.host_of(bucket)}:80",
        f"{harness.host_of(bucket)}:{server.port}",
        f"{harness.host_of(bucket)}.",
    ):
        headers = {"Host": host, "Authorization": cos_authorization("HEAD", "/", {}, {"host": host})}
        answer = requests.head(f"http://127.0.0.1:{server.port}/", headers=headers)
        assert answer.status_code == 200, (host, answer.headers)


def test_a_bucket_name_that_looks_like_a_host(server):
    name = bucket_name().replace("t", "cos-", 1)
    assert server.cos("PUT", name).status == 200
    assert server.cos("PUT", name, "k", body=b"x").status == 200
    assert server.cos("GET", name, "k").body == b"x"
