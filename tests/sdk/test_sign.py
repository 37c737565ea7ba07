"""`costrel sign`: links that a server accepts, and what is wrong with one it refuses."""

import json
import subprocess
import time

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
