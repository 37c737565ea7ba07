"""The aws CLI: trees up and down, and the low-level commands."""

import json

import pytest

import harness
import trees
from checksums import body, etag
from clis import installed, run, through
from conftest import bucket_name

KEYS = {
    "AWS_ACCESS_KEY_ID": harness.SECRET_ID,
    "AWS_SECRET_ACCESS_KEY": harness.SECRET_KEY,
    "AWS_DEFAULT_REGION": harness.REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_PAGER": "",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@pytest.fixture
def aws(server):
    """Runs the CLI against the server's address, so in path style."""

    def command(*arguments, **options):
        endpoint = f"http://127.0.0.1:{server.port}"
        return run(
            installed("aws"), "--endpoint-url", endpoint, *arguments, env=KEYS, **options
        )

    return command


def test_sync_up_and_down(aws, bucket, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    trees.make(up, seed=11)
    aws("s3", "sync", up, f"s3://{bucket}/tree", "--only-show-errors")
    aws("s3", "sync", f"s3://{bucket}/tree", down, "--only-show-errors")
    trees.same(up, down)
    # Nothing is left to do, in either direction.
    assert aws("s3", "sync", up, f"s3://{bucket}/tree", "--size-only").stdout == ""
    assert aws("s3", "sync", f"s3://{bucket}/tree", down, "--size-only").stdout == ""
    # A change and a deletion travel; so does a whole copy inside the server.
    (up / "many/00/00000.dat").write_bytes(b"changed, and longer than it was" * 2000)
    (up / "many/01/00001.dat").unlink()
    aws("s3", "sync", up, f"s3://{bucket}/tree", "--delete", "--only-show-errors")
    aws("s3", "sync", f"s3://{bucket}/tree/large", f"s3://{bucket}/copied", "--only-show-errors")
    aws("s3", "sync", f"s3://{bucket}/tree", down, "--delete", "--only-show-errors")
    trees.same(up, down)
    copied = tmp_path / "copied"
    aws("s3", "sync", f"s3://{bucket}/copied", copied, "--only-show-errors")
    trees.same(up / "large", copied)
    aws("s3", "rb", "--force", f"s3://{bucket}")
    assert bucket not in aws("s3", "ls").stdout


def test_objects_one_by_one(aws, bucket, tmp_path):
    local = tmp_path / "local file"
    local.write_bytes(body(100_000))
    aws("s3", "cp", local, f"s3://{bucket}/a/one", "--metadata", "m=1", "--storage-class", "STANDARD_IA")
    aws("s3", "mv", f"s3://{bucket}/a/one", f"s3://{bucket}/a/two + 二")
    listed = aws("s3", "ls", "--recursive", f"s3://{bucket}").stdout
    assert "100000 a/two + 二" in listed and "a/one" not in listed
    assert "PRE a/" in aws("s3", "ls", f"s3://{bucket}").stdout
    aws("s3", "cp", f"s3://{bucket}/a/two + 二", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body(100_000)
    aws("s3", "cp", "-", f"s3://{bucket}/stdin", stdin=body(20_000_000))
    streamed = aws("s3", "cp", f"s3://{bucket}/stdin", tmp_path / "stdin")
    assert streamed.returncode == 0 and (tmp_path / "stdin").read_bytes() == body(20_000_000)
    url = aws("s3", "presign", f"s3://{bucket}/stdin").stdout.strip()
    run("python3", "-c", f"import urllib.request as u; assert len(u.urlopen('{url}').read()) == 20000000")
    aws("s3", "rm", "--recursive", f"s3://{bucket}/a")
    assert "a/" not in aws("s3", "ls", f"s3://{bucket}").stdout
    assert "NoSuchKey" in (missing := aws(
        "s3api", "get-object", "--bucket", bucket, "--key", "nothing", "/dev/null", check=False
    )).stderr and missing.returncode != 0


def test_low_level_commands(aws, bucket, tmp_path):
    def api(*arguments):
        text = aws("s3api", *arguments, "--bucket", bucket).stdout
        return json.loads(text) if text.strip() else {}

    local = tmp_path / "local"
    local.write_bytes(b"low level")
    put = api("put-object", "--key", "k", "--body", local, "--checksum-algorithm", "SHA256")
    assert put["ETag"] == etag(b"low level") and put["ChecksumSHA256"]
    assert api("head-object", "--key", "k", "--checksum-mode", "ENABLED")["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert api("get-object-attributes", "--key", "k", "--object-attributes", "ObjectSize")["ObjectSize"] == 9
    assert api("get-bucket-location")["LocationConstraint"] == harness.REGION
    assert [e["Key"] for e in api("list-objects-v2")["Contents"]] == ["k"]
    upload = api("create-multipart-upload", "--key", "m")["UploadId"]
    part = api("upload-part", "--key", "m", "--upload-id", upload, "--part-number", "1", "--body", local)
    parts = json.dumps({"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    api("complete-multipart-upload", "--key", "m", "--upload-id", upload, "--multipart-upload", parts)
    deleted = api("delete-objects", "--delete", json.dumps({"Objects": [{"Key": "k"}, {"Key": "m"}]}))
    assert len(deleted["Deleted"]) == 2
    api("delete-bucket")


def test_virtual_hosted_through_a_proxy(server, tmp_path):
    name = bucket_name()
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    env = through(server, **{**KEYS, "AWS_CONFIG_FILE": str(config)})

    def aws(*arguments):
        return run(
            installed("aws"), "--endpoint-url", f"http://{harness.ENDPOINT}", *arguments, env=env
        )

    aws("s3", "mb", f"s3://{name}")
    local = tmp_path / "f"
    local.write_bytes(body(9_000_000))
    aws("s3", "cp", local, f"s3://{name}/dir/中 文")
    aws("s3", "cp", f"s3://{name}/dir/中 文", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
