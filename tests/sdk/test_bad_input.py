"""Hostile and broken requests: refused with a name, nothing half visible, nothing
leaked, and the server as well as before.
"""

import os
import re
import socket
import time

import pytest
from botocore.awsrequest import AWSRequest

import harness
from checksums import body, etag, md5_base64
from harness import cos_authorization, host_of, quote_path
from s3client import sigv4

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def healthy_afterwards(server):
    yield
    assert server.running(), server.log()
    assert server.console("/healthz")[0] == 200
    assert server.console("/readyz")[0] == 200


def head_of(bucket, method, key="", query=None, **headers):
    """The request line and signed headers of a request, up to the empty line."""
    query = query or {}
    host = host_of(bucket)
    authorization = cos_authorization(method, "/" + key, query, {"host": host})
    target = "/" + quote_path(key)
    if query:
        target += "?" + "&".join(f"{k}={harness.cos_encode(str(v))}" for k, v in query.items())
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Authorization: {authorization}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def exchange(server, *pieces, shut=False, timeout=30):
    """Sends bytes as they are; returns status and everything that came back.

    With `shut` the client closes its sending side, and still wants the answer.
    """
    with server.connect(timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if shut:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end: the answer tells
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
                if complete(answer):
                    break
        except ConnectionResetError:
            pass
    match = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return (int(match[1]) if match else None), answer


def complete(answer):
    head, separator, rest = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(separator) and length is not None and len(rest) >= int(length[1])


def absent(server, bucket, key="k"):
    """Neither readable nor listed, and no upload left open."""
    assert server.cos("GET", bucket, key).status == 404
    assert b"<Contents>" not in server.cos("GET", bucket).body
    assert b"<Upload>" not in server.cos("GET", bucket, query={"uploads": ""}).body


# -- XML ---------------------------------------------------------------------------


def billion_laughs():
    entities = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)
    )
    return f'<!DOCTYPE d [<!ENTITY l0 "lol">{entities}]><Delete><Object><Key>&l9;</Key></Object></Delete>'


BAD_XML = {
    "empty": "",
    "text": "not xml at all",
    "unclosed": "<Delete><Object><Key>k</Key></Object>",
    "crossed": "<Delete><Object><Key>k</Object></Key></Delete>",
    "other root": "<Other><Object><Key>k</Key></Object></Other>",
    "two roots": "<Delete><Object><Key>k</Key></Object></Delete><Delete/>",
    "no objects": "<Delete></Delete>",
    "entity bomb": billion_laughs(),
    "external entity": '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<Delete><Object><Key>&x;</Key></Object></Delete>",
    "unknown entity": "<Delete><Object><Key>&nope;</Key></Object></Delete>",
    "depth": "<Delete>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Delete>",
    "control characters": "<Delete><Object><Key>a\x01b</Key></Object></Delete>",
    "attribute flood": "<Delete " + " ".join(f'a{n}="1"' for n in range(50_000)) + "/>",
}


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_xml_deletes_nothing(server, bucket, name):
    assert server.cos("PUT", bucket, "k", body=b"x").status == 200
    data = BAD_XML[name].encode()
    headers = {"Content-MD5": md5_base64(data), "Content-Type": "application/xml"}
    started = time.monotonic()
    answer = server.cos("POST", bucket, query={"delete": ""}, headers=headers, body=data)
    assert time.monotonic() - started < 5
    assert 400 <= answer.status < 500, answer
    assert answer.code() in ("MalformedXML", "MissingRequestBodyError", "XMLSizeLimit", "InvalidRequest"), answer
    assert b"root:" not in answer.body
    assert server.cos("GET", bucket, "k").body == b"x"


def test_xml_not_utf8(server, bucket):
    data = b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>"
    headers = {"Content-MD5": md5_base64(data)}
    answer = server.cos("POST", bucket, query={"delete": ""}, headers=headers, body=data)
    assert answer.status == 400 and answer.code() == "MalformedXML", answer


def test_huge_xml(server, bucket):
    before = server.resident_bytes()
    data = b"<Delete>" + b" " * (64 * MIB) + b"</Delete>"
    status, answer = exchange(
        server,
        head_of(bucket, "POST", query={"delete": ""}, Content_Length=len(data), Content_MD5=md5_base64(data)),
        data,
    )
    assert status in (400, 413), answer[:500]
    assert server.resident_bytes() - before < 24 * MIB


def test_bad_completion_bodies(server, bucket):
    started = server.cos("POST", bucket, "k", query={"uploads": ""})
    upload = re.search(rb"<UploadId>(.*)</UploadId>", started.body)[1].decode()
    query = {"uploadId": upload}
    for text in (
        "",
        "<CompleteMultipartUpload/>",
        "<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>99999999999999999999</PartNumber><ETag>e</ETag></Part>"
        "</CompleteMultipartUpload>",
        "<CompleteMultipartUpload>"
        + "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>e</ETag></Part>" for n in range(1, 10_002))
        + "</CompleteMultipartUpload>",
    ):
        answer = server.cos("POST", bucket, "k", query=query, body=text.encode())
        assert answer.status == 400, (text[:100], answer)
    assert server.cos("DELETE", bucket, "k", query=query).status == 204
    absent(server, bucket)


# -- bodies that are not what they were said to be -----------------------------------


@pytest.mark.parametrize("size", [100, 300_000])
def test_wrong_checksums(server, bucket, size):
    data = body(size)
    for headers, code in (
        ({"Content-MD5": md5_base64(b"other")}, "BadDigest"),
        ({"Content-MD5": "AAAA"}, "InvalidDigest"),
        ({"Content-MD5": "ää"}, "InvalidDigest"),
        ({"x-cos-hash-crc64ecma": "1"}, None),
    ):
        status, answer = exchange(
            server,
            head_of(bucket, "PUT", "k", Content_Length=size, **{n.replace("-", "_"): v for n, v in headers.items()}),
            data,
        )
        assert status == 400, (headers, answer)
        if code:
            assert f"<Code>{code}</Code>".encode() in answer, (headers, answer)
        absent(server, bucket)
    assert server.cos("PUT", bucket, "k", body=data).status == 200


@pytest.mark.parametrize("size", [1000, 5 * MIB])
def test_truncated_bodies(server, bucket, size):
    """The client goes away in the middle; the old object stays."""
    assert server.cos("PUT", bucket, "old", body=b"old").status == 200
    for sent in (0, 1, size // 2, size - 1):
        for shut in (True, False):
            head = head_of(bucket, "PUT", "old", Content_Length=size)
            with server.connect() as connection:
                connection.sendall(head + body(size)[:sent])
                if shut:
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.recv(4096)
                    assert not answer or answer.split()[1] == b"400", answer
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        assert server.cos("GET", bucket, "old").body == b"old"
        time.sleep(0.5)


def test_truncated_parts(server, bucket):
    started = server.cos("POST", bucket, "k", query={"uploads": ""})
    query = {"uploadId": re.search(rb"<UploadId>(.*)</UploadId>", started.body)[1].decode(), "partNumber": "1"}
    with server.connect() as connection:
        connection.sendall(head_of(bucket, "PUT", "k", query, Content_Length=MIB) + bytes(MIB - 1))
    time.sleep(0.3)
    listed = server.cos("GET", bucket, "k", query={"uploadId": query["uploadId"]})
    assert listed.status == 200 and b"<Part>" not in listed.body, listed
    assert server.cos("DELETE", bucket, "k", query={"uploadId": query["uploadId"]}).status == 204


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: -1\r\n",
        b"Content-Length: 1x\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
    ],
)
def test_lying_lengths(server, bucket, framing):
    head = head_of(bucket, "PUT", "k").replace(b"\r\n\r\n", b"\r\n" + framing + b"\r\n", 1)
    status, answer = exchange(server, head, b"hello", shut=True)
    assert status is not None and 400 <= status < 502, answer
    # Whatever follows must not be taken for a second request.
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    absent(server, bucket)


def test_no_length_at_all(server, bucket):
    status, answer = exchange(server, head_of(bucket, "PUT", "k"))
    assert status == 411 and b"<Code>MissingContentLength</Code>" in answer, answer
    absent(server, bucket)


def test_larger_than_a_simple_put_may_be(server, bucket):
    status, answer = exchange(server, head_of(bucket, "PUT", "k", Content_Length=5 * 1024**3 + 1))
    assert status == 400 and b"<Code>EntityTooLarge</Code>" in answer, answer


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nhello", b"-5\r\nhello\r\n0\r\n\r\n"],
)
def test_bad_http_chunks(server, bucket, chunks):
    status, answer = exchange(
        server, head_of(bucket, "PUT", "k", Transfer_Encoding="chunked"), chunks, shut=True
    )
    assert status == 400 and b"<Code>" in answer, answer
    absent(server, bucket)


@pytest.mark.parametrize(
    "framed",
    [
        b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5\r\nhel",
        b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello!!\r\n0\r\n\r\n",
        b"x" * 100_000,
        b"",
    ],
    ids=range(7),
)
@pytest.mark.parametrize("kind", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_bad_aws_chunks(server, bucket, framed, kind):
    url = f"http://{host_of(bucket)}:{server.port}/k"
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": "5",
    }
    if kind.endswith("TRAILER"):
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    request = AWSRequest("PUT", url, headers=headers)
    sigv4(kind).add_auth(request)
    lines = ["PUT /k HTTP/1.1", f"Host: {host_of(bucket)}:{server.port}", f"Content-Length: {len(framed)}"]
    lines += [f"{n}: {v}" for n, v in request.headers.items()]
    status, answer = exchange(server, "\r\n".join(lines).encode() + b"\r\n\r\n", framed)
    assert status in (400, 403), answer
    absent(server, bucket)


# -- heads ---------------------------------------------------------------------------


def test_header_flood(server, bucket):
    before = server.resident_bytes()
    many = "".join(f"X-Flood-{n}: {'v' * 100}\r\n" for n in range(20_000))
    status, answer = exchange(server, f"GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n".encode())
    assert status in (400, 431), answer[:300]
    status, answer = exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"v" * (8 * MIB) + b"\r\n\r\n")
    assert status in (400, 431, None), answer[:300]
    status, answer = exchange(server, b"GET /" + b"a" * (8 * MIB) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status in (400, 414, 431, None), answer[:300]
    assert server.resident_bytes() - before < 24 * MIB


def test_junk_instead_of_http(server):
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 1000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        status, answer = exchange(server, junk, shut=True)
        assert status is None or 400 <= status < 506, (junk[:40], answer)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "q-sign-algorithm",
        "q-sign-algorithm=sha1",
        "q-sign-algorithm=md5&q-ak=a&q-sign-time=1;2&q-key-time=1;2&q-header-list=&q-url-param-list=&q-signature=x",
        "q-sign-algorithm=sha1&q-ak=%ff&q-sign-time=;&q-key-time=;&q-header-list=;;;&q-url-param-list=;&q-signature=",
        "AWS",
        "AWS :",
        "AWS a:b:c",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f/g, SignedHeaders=host;host;;, Signature=zz",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20200101/s3/aws4_request, SignedHeaders=host, Signature=00",
        "Basic YTpi",
        "Bearer x",
        "\x7f",
        "q-" + "a" * 50_000,
    ],
    ids=range(16),
)
def test_bad_authorization(server, bucket, authorization):
    head = f"GET /k HTTP/1.1\r\nHost: {host_of(bucket)}\r\nAuthorization: {authorization}\r\n\r\n"
    status, answer = exchange(server, head.encode())
    assert status in (400, 403, 431, 501), answer
    assert b"NoSuch" not in answer


# -- keys, queries, ranges -------------------------------------------------------------


@pytest.mark.parametrize(
    "target, statuses",
    [
        ("/%ff%fe", (400, 403)),
        ("/%", (400, 403)),
        ("/%zz", (400, 403)),
        ("/a%00b", (400,)),
        ("/" + "k" * 851, (400,)),
        ("/" + "%E4%B8%AD" * 284, (400,)),
    ],
    ids=["not utf-8", "lone percent", "bad escape", "nul", "too long", "too long in bytes"],
)
def test_bad_keys(server, bucket, target, statuses):
    import urllib.parse

    host = host_of(bucket)
    decoded = urllib.parse.unquote(target, errors="surrogateescape")
    authorization = cos_authorization("PUT", decoded, {}, {"host": host})
    head = f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\nContent-Length: 1\r\n\r\n"
    status, answer = exchange(server, head.encode(), b"x")
    assert status in statuses, answer
    assert b"<Contents>" not in server.cos("GET", bucket).body


def test_path_segments_stay_as_they_are(server, bucket):
    for key in ("..", ".", "../../etc/passwd", "a/../b", "./a", "a/."):
        put = server.cos("PUT", bucket, key, body=key.encode())
        assert put.status == 200, (key, put)
        assert server.cos("GET", bucket, key).body == key.encode()
    assert server.cos("GET", bucket, "b").status == 404


@pytest.mark.parametrize(
    "value",
    ["bytes=", "bytes=-", "bytes=5-1", "bytes=1-2,4-5", "bytes=x-y", "lines=1-2", "bytes 1-2",
     "bytes=-0", "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=10-", "bytes=-99999"],
)
def test_bad_ranges(server, bucket, value):
    assert server.cos("PUT", bucket, "k", body=b"0123456789").status == 200
    answer = server.cos("GET", bucket, "k", headers={"Range": value})
    if answer.status == 206:
        assert value in ("bytes=0-99999999999999999999", "bytes=-99999"), answer
        assert answer.body == b"0123456789"
    else:
        assert answer.status in (200, 416), answer
        assert answer.status == 416 or answer.body == b"0123456789"
    if value in ("bytes=10-", "bytes=-0", "bytes=99999999999999999999-"):
        assert answer.status == 416 and answer.code() == "InvalidRange", answer
        assert answer.header("Content-Range") == "bytes */10", answer


def test_bad_queries(server, bucket):
    for query in (
        {"max-keys": "99999999999999999999"},
        {"max-keys": "1.5"},
        {"encoding-type": "base64"},
        {"uploads": "", "max-uploads": "x"},
    ):
        answer = server.cos("GET", bucket, query=query)
        assert (answer.status, answer.code()) == (400, "InvalidArgument"), (query, answer)
    for query in ({"uploadId": "../../x"}, {"uploadId": "\u0000"}, {"uploadId": "x" * 4000}):
        answer = server.cos("GET", bucket, "k", query=query)
        assert answer.status in (400, 404), (query, answer)
    answer = server.cos("GET", bucket, "k", query={"uploadId": "a", "max-parts": "x"})
    assert answer.status in (400, 404), answer


def test_bad_copy_sources(server, bucket):
    for source in ("", "/", "nonsense", f"{bucket}/", "%", "%ff/%ff", "a" * 5000, f"/{bucket}/k?versionId=",
                   f"http://evil.example/{bucket}/k", f"{bucket}.cos.ap-other.myqcloud.com/k"):
        answer = server.cos("PUT", bucket, "k", headers={"x-cos-copy-source": source})
        assert 400 <= answer.status < 500, (source, answer)
        assert b"<Error>" in answer.body, (source, answer)
    absent(server, bucket)


# -- slow and many -------------------------------------------------------------------


def test_slow_clients_do_not_stop_others(server, bucket):
    """Connections that dribble, and ones that never say a word."""
    assert server.cos("PUT", bucket, "k", body=body(3 * MIB)).status == 200
    idle = [server.connect() for _ in range(200)]
    dribbling = [server.connect() for _ in range(50)]
    reading = [server.connect() for _ in range(20)]
    try:
        for connection in dribbling:
            connection.sendall(head_of(bucket, "PUT", "slow", Content_Length=100) + b"x")
        for connection in reading:  # asks for three megabytes and does not read them
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(head_of(bucket, "GET", "k"))
        for _ in range(5):
            for connection in dribbling:
                connection.sendall(b"x")
            started = time.monotonic()
            assert server.cos("GET", bucket, "k").body == body(3 * MIB)
            assert server.cos("PUT", bucket, "other", body=b"y").status == 200
            assert time.monotonic() - started < 3
    finally:
        for connection in idle + dribbling + reading:
            connection.close()
    assert server.cos("GET", bucket, "slow").status == 404


def test_keep_alive_and_pipelining(server, bucket):
    assert server.cos("PUT", bucket, "k", body=b"value").status == 200
    head = head_of(bucket, "GET", "k")
    with server.connect() as connection:
        connection.sendall(head * 5)
        answer = b""
        while answer.count(b"value") < 5:
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
    assert answer.count(b"HTTP/1.1 200") == 5


def test_expect_continue(server, bucket):
    data = body(100_000)
    with server.connect() as connection:
        connection.sendall(head_of(bucket, "PUT", "k", Content_Length=len(data), Expect="100-continue"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(data)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.cos("GET", bucket, "k").header("ETag") == etag(data)
    # botocore cannot go on with a connection on which an empty body was not
    # asked for: it must see the 100, or the connection must end.
    with server.connect() as connection:
        connection.sendall(head_of(bucket, "PUT", "empty", Content_Length=0, Expect="100-continue"))
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 100") or b"connection: close" in answer.lower(), answer
    # Refused before the body is asked for.
    wrong = head_of(bucket, "PUT", "k", Content_Length=len(data), Expect="100-continue")
    wrong = wrong.replace(b"q-signature=", b"q-signature=0")
    with server.connect() as connection:
        connection.sendall(wrong)
        assert connection.recv(4096).startswith(b"HTTP/1.1 403")


def test_refused_large_uploads_leave_nothing(server, bucket):
    """Bodies that fail at their last byte give their space back."""
    for _ in range(5):
        data = body(4 * MIB)
        answer = server.cos("PUT", bucket, "k", body=data, headers={"Content-MD5": md5_base64(b"other")})
        assert answer.status == 400
    # fsck at the end of the file proves that no byte is left over.
    absent(server, bucket)
    assert server.cos("DELETE", bucket).status == 204


def test_many_connections_in_a_row(server, bucket):
    before = len(http_fds(server))
    for _ in range(500):
        connection = server.connect()
        connection.sendall(b"GET / HTTP/1.1\r\n")
        connection.close()
    deadline = time.monotonic() + 10
    while len(http_fds(server)) > before + 20 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(http_fds(server)) <= before + 20


def http_fds(server):
    return os.listdir(f"/proc/{server.process.pid}/fd")
