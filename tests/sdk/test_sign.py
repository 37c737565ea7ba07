"""`costrel sign`: links that a server accepts, and what is wrong with one it refuses."""

import subprocess

import pytest
import requests

import harness
from cosclient import make_client
from s3client import s3

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
