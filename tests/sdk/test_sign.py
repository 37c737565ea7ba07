"""`costrel sign`: links that a server accepts, and what is wrong with one it refuses."""

import json
import subprocess
import time
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests

import harness
from cosclient import make_client
from s3client import s3
from test_aws_sts import client

KEYS = {"COSTREL_ROOT_SECRET_ID": harness.SECRET_ID, "COSTREL_ROOT_SECRET_KEY": harness.SECRET_KEY}


def sign(*arguments, **more):
    command = [harness.BINARY, "sign", *arguments]
    return subprocess.run(command, env={**KEYS, **more}, capture_output=True, text=True)


def link(*arguments):
    made = sign("url", *arguments)
    assert made.returncode == 0, made.stderr
    assert made.stderr.startswith("valid until 2")
    return made.stdout.strip()


@pytest.mark.parametrize("dialect", ["cos", "s3"])
def test_links_are_accepted(server, bucket, dialect):
    url = f"http://127.0.0.1:{server.port}/{bucket}/a%20b/%E8%85%BE+%23.txt"
    put = link(url, "--dialect", dialect, "--method", "put", "--header", "content-type=text/x")
    assert requests.put(put, b"data", headers={"Content-Type": "text/y"}).status_code == 403
    assert requests.put(put, b"data", headers={"Content-Type": "text/x"}).status_code == 200
    get = link(f"{url}?response-content-type=text/z", "--dialect", dialect)
    answer = requests.get(get)
    assert (answer.content, answer.headers["Content-Type"]) == (b"data", "text/z")
    assert requests.delete(get).status_code == 403
    explained = sign("explain", get)
    assert explained.returncode == 0 and "the signature is good" in explained.stdout


def test_links_of_the_sdks_are_explained(server, bucket):
    aws = s3(server)
    presign = {"Params": {"Bucket": bucket, "Key": "a b/腾"}, "ExpiresIn": 60}
    links = [
        aws.generate_presigned_url("get_object", **presign),
        make_client(server).get_presigned_url(Bucket=bucket, Key="a b/腾", Method="GET", Expired=60),
    ]
    for url in links:
        good = sign("explain", url)
        assert good.returncode == 0 and harness.SECRET_ID in good.stdout, good
        wrong = sign("explain", url, "--method", "PUT")
        assert wrong.returncode == 1 and "does not match" in wrong.stdout, wrong
        assert harness.SECRET_KEY not in wrong.stdout + wrong.stderr
        other = sign("explain", url, COSTREL_ROOT_SECRET_ID="AKIDother")
        assert other.returncode == 1 and "AKIDother" in other.stderr
    # The server computes the same, and says so.
    answer = requests.put(links[0], b"")
    assert answer.status_code == 403
    shown = sign("explain", links[0], "--method", "PUT", "--header", "content-length=0").stdout
    to_sign = answer.text.partition("<StringToSign>")[2].partition("<")[0]
    assert to_sign and all(f'"{line}"' in shown for line in to_sign.split("\n"))


def form(*arguments, **more):
    made = sign("form", *arguments, **more)
    assert made.returncode == 0, made.stderr
    assert made.stderr.startswith("valid until 2")
    return json.loads(made.stdout)


def upload(form, name="a.txt", body=b"data", **other):
    fields = {**form["fields"], **other}
    return requests.post(form["url"], data=fields, files={"file": (name, body)}).status_code


@pytest.mark.parametrize("dialect", ["cos", "s3"])
def test_forms_are_accepted(server, bucket, dialect):
    where = f"http://127.0.0.1:{server.port}/{bucket}"
    aws = s3(server)

    def body(key):
        return aws.get_object(Bucket=bucket, Key=key)["Body"].read()

    folder = form(f"{where}/a%20b/", "--dialect", dialect, "--max-size", "4")
    assert upload(folder, "x.txt", b"four") == 204
    assert body("a b/x.txt") == b"four"
    assert upload(folder, "y.txt", b"5five") == 400
    assert upload(folder, key="elsewhere") == 403
    fields = ["--field", "acl=public-read", "--field", "success_action_status=201"]
    one = form(f"{where}/one", "--dialect", dialect, *fields)
    assert upload(one) == 201 and body("one") == b"data"
    assert requests.get(f"{where}/one").content == b"data"
    assert upload(one, acl="private") == 403
    assert upload(form(where, "--dialect", dialect, COSTREL_ROOT_SECRET_KEY="another")) == 403
    late = form(f"{where}/late", "--dialect", dialect, "--expires", "1s")
    time.sleep(2.1)
    assert upload(late) == 403


def test_what_is_made_with_a_temporary_key(server, bucket):
    where = f"http://127.0.0.1:{server.port}/{bucket}"
    policy = {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/in/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": policy})
    key = client(server, "sts").get_federation_token(Name="up", Policy=document)["Credentials"]
    session = {
        "COSTREL_ROOT_SECRET_ID": "",
        "COSTREL_ROOT_SECRET_KEY": "",
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_SESSION_TOKEN": key["SessionToken"],
    }
    for dialect in ("cos", "s3"):
        assert upload(form(f"{where}/in/a", "--dialect", dialect, **session)) == 204
        assert upload(form(f"{where}/out", "--dialect", dialect, **session)) == 403
        made = sign("url", f"{where}/in/a", "--dialect", dialect, **session)
        assert "or to the end of its temporary key" in made.stderr
        assert requests.get(made.stdout.strip()).content == b"data"


ODD_KEYS = ["a b", "a+b", "100%", "%41", "腾讯/云", "//lead", "a//b", "q?x=1&y", "#h", "a=b;c", "~!*'()", "é\u0301"]


@pytest.mark.parametrize("dialect", ["cos", "s3"])
@pytest.mark.parametrize("style", ["path", "host"])
def test_odd_keys(server, bucket, dialect, style):
    """Each link works, and is the one that the vendors' SDKs make at the same moment."""
    base = f"http://127.0.0.1:{server.port}/{bucket}"
    if style == "host":
        base = f"http://{bucket}.{harness.ENDPOINT}:{server.port}"
    for key in ODD_KEYS:
        url = f"{base}/{quote(key, safe='/')}"
        put = link(url, "--dialect", dialect, "--method", "PUT")
        assert requests.put(put, key.encode()).status_code == 200, put
        read = s3(server).get_object(Bucket=bucket, Key=key)["Body"].read()
        assert read == key.encode(), key
        assert requests.get(link(url, "--dialect", dialect)).content == key.encode(), key


def parts(url):
    split = urlsplit(url)
    return split.netloc, split.path, sorted(parse_qsl(split.query, keep_blank_values=True))


def test_links_are_those_of_boto3(server, bucket):
    for style in ("path", "virtual"):
        for key in ODD_KEYS:
            for _ in range(3):
                theirs = s3(server, style=style).generate_presigned_url(
                    "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=600
                )
                url = theirs.partition("?")[0]
                ours = link(url, "--expires", "10m", "--region", harness.REGION)
                if dict(parts(ours)[2])["X-Amz-Date"] == dict(parts(theirs)[2])["X-Amz-Date"]:
                    break
            assert parts(ours) == parts(theirs), key


def test_links_have_an_end(server, bucket):
    url = f"http://127.0.0.1:{server.port}/{bucket}/a"
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"ends")
    for dialect in ("cos", "s3"):
        short = link(url, "--dialect", dialect, "--expires", "1s")
        time.sleep(2.1)
        assert requests.get(short).status_code == 403
        late = sign("explain", short)
        assert late.returncode == 1 and "expired, by" in late.stdout, late
    for arguments, why in [
        (("--expires", "169h"), "7 days"),
        (("--expires", "0s"), "a second at least"),
        (("--region", ""), "no region"),
        (("--header", "a b=c"), "NAME=VALUE"),
    ]:
        wrong = sign("url", url, *arguments)
        assert wrong.returncode != 0 and why in wrong.stderr, wrong
    assert "signed already" in sign("url", link(url)).stderr
    # COS knows no longest time.
    assert requests.get(link(url, "--dialect", "cos", "--expires", "90000h")).content == b"ends"


def test_forms_are_explained(server, bucket, tmp_path):
    """Our own, and boto3's."""
    url = f"http://127.0.0.1:{server.port}/{bucket}"
    path = tmp_path / "form.json"

    def explained(form, where=url, **more):
        path.write_text(json.dumps(form))
        return sign("explain", where, "--form", str(path), **more)

    for dialect in ("cos", "s3"):
        made = form(f"{url}/in/", "--dialect", dialect, "--field", "Content-Type=image/x")
        good = explained(made)
        assert good.returncode == 0 and "the signature is good" in good.stdout, good
        wrong = explained(made, COSTREL_ROOT_SECRET_KEY="x" * 32)
        assert wrong.returncode == 1 and "does not match" in wrong.stdout, wrong
        made["fields"]["Content-Type"] = "text/html"
        bad = explained(made["fields"])
        assert bad.returncode == 1 and "policy condition failed" in bad.stdout, bad
    theirs = s3(server, style="path").generate_presigned_post(bucket, "a", ExpiresIn=60)
    good = explained(theirs, theirs["url"])
    assert good.returncode == 0 and "S3 version 4, of a form" in good.stdout, good
    assert sign("form", url, "--field", "key=x").returncode != 0
