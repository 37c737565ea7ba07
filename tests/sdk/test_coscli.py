"""coscli, the Go client of COS, reaching the server by proxy setting."""

import os
import time

import pytest

import harness
import trees
from checksums import body, crc64_ecma
from clis import run, through
from conftest import bucket_name

COSCLI = os.environ.get("COSTREL_COSCLI", "coscli")


def coscli_for(server, folder):
    config = folder / "cos.yaml"
    config.write_text(
        "cos:\n"
        "  base:\n"
        f"    secretid: {harness.SECRET_ID}\n"
        f"    secretkey: {harness.SECRET_KEY}\n"
        "    sessiontoken: \"\"\n"
        "    protocol: http\n"
        "    mode: SecretKey\n"
        "    cvmrolename: \"\"\n"
        "    closeautoswitchhost: \"true\"\n"
        "    disableencryption: \"true\"\n"
        "    disableautofetchbuckettype: \"false\"\n"
        "  buckets: []\n"
    )

    def command(verb, *arguments, **more):
        # Its pooled connections pass the proxy setting by; the others heed it.
        heed = ["--disable-long-links"] if verb in ("cp", "sync") else []
        return run(
            COSCLI, verb, *arguments, *heed, "-c", config, "-e", harness.ENDPOINT,
            env=through(server, HOME=str(folder)), cwd=folder, **more,
        )

    return command


@pytest.fixture
def coscli(server, tmp_path):
    return coscli_for(server, tmp_path)


def test_bucket_life(coscli):
    name = bucket_name()
    coscli("mb", f"cos://{name}")
    assert name in coscli("ls").stdout
    coscli("rb", f"cos://{name}", "--force")
    assert name not in coscli("ls").stdout


def test_sync_up_and_down(coscli, bucket, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    trees.make(up, seed=17, small=1500)
    down.mkdir()
    coscli("sync", f"{up}/", f"cos://{bucket}/tree/", "-r", "--part-size", "8", "--snapshot-path", tmp_path / "s1")
    coscli("sync", f"cos://{bucket}/tree/", f"{down}/", "-r", "--snapshot-path", tmp_path / "s2")
    trees.same(up, down)
    (up / "many/00/00000.dat").write_bytes(b"changed")
    (up / "many/01/00001.dat").unlink()
    coscli("sync", f"{up}/", f"cos://{bucket}/tree/", "-r", "--delete", "--force")
    coscli("sync", f"cos://{bucket}/tree/", f"{down}/", "-r", "--delete", "--force", "--backup-dir", tmp_path / "old")
    trees.same(up, down)
    coscli("rm", f"cos://{bucket}/tree/", "-r", "-f")
    assert "tree" not in coscli("ls", f"cos://{bucket}").stdout


def test_objects_one_by_one(server, coscli, bucket, tmp_path):
    data = body(30_000_000)
    local = tmp_path / "local"
    local.write_bytes(data)
    coscli("cp", local, f"cos://{bucket}/dir/one 一", "--part-size", "4", "--meta", "x-cos-meta-a:1")
    assert server.cos("HEAD", bucket, "dir/one 一").header("x-cos-meta-a") == "1"
    assert str(crc64_ecma(data)) in coscli("hash", f"cos://{bucket}/dir/one 一").stdout
    coscli("cp", f"cos://{bucket}/dir/one 一", f"cos://{bucket}/dir/two")
    coscli("cp", f"cos://{bucket}/dir/two", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    listed = coscli("ls", f"cos://{bucket}/dir/", "-r").stdout
    assert "dir/one 一" in listed and "dir/two" in listed
    assert "60000000" in coscli("du", f"cos://{bucket}").stdout.replace(",", "") or "57.2" in coscli(
        "du", f"cos://{bucket}"
    ).stdout
    url = coscli("signurl", f"cos://{bucket}/dir/two").stdout
    assert "q-signature" in url
    coscli("rm", f"cos://{bucket}/dir/two", "-f")
    assert "dir/two" not in coscli("ls", f"cos://{bucket}/dir/", "-r").stdout
    small = tmp_path / "small"
    small.write_text("as text")
    coscli("cp", small, f"cos://{bucket}/text")
    assert "as text" in coscli("cat", f"cos://{bucket}/text").stdout


def test_uploads(server, coscli, bucket):
    assert server.cos("POST", bucket, "open/1", query={"uploads": ""}).status == 200
    assert "open/1" in coscli("lsparts", f"cos://{bucket}").stdout
    coscli("abort", f"cos://{bucket}/open/1")
    assert "open/1" not in coscli("lsparts", f"cos://{bucket}").stdout


def test_symlinks(server, coscli, bucket):
    # The one of a key that has to be encoded is what the link says.
    key = "dir/a b+c.txt"
    assert server.cos("PUT", bucket, key, body=b"data").status == 200
    coscli("symlink", "--method", "create", f"cos://{bucket}/{key}", "--link", "link")
    assert server.cos("GET", bucket, "link").body == b"data"
    shown = coscli("symlink", "--method", "get", f"cos://{bucket}/", "--link", "link")
    assert "Link-object: dir/a%20b%2Bc.txt" in shown.stdout + shown.stderr


def test_bucket_settings(server, coscli, bucket):
    coscli("bucket-tagging", "--method", "put", f"cos://{bucket}", "team#storage", "环境#ci")
    shown = coscli("bucket-tagging", "--method", "get", f"cos://{bucket}").stdout
    assert "storage" in shown and "环境" in shown
    coscli("bucket-tagging", "--method", "delete", f"cos://{bucket}", "team#storage")
    shown = coscli("bucket-tagging", "--method", "get", f"cos://{bucket}").stdout
    assert "storage" not in shown and "环境" in shown
    coscli("bucket-tagging", "--method", "delete", f"cos://{bucket}")
    assert server.cos("GET", bucket, query={"tagging": ""}).status == 404
    for state in ("Enabled", "Suspended"):
        coscli("bucket-versioning", "--method", "put", f"cos://{bucket}", state)
        shown = coscli("bucket-versioning", "--method", "get", f"cos://{bucket}")
        assert state in shown.stdout + shown.stderr


def test_restoring_what_was_archived(server, coscli, bucket, tmp_path):
    local = tmp_path / "local"
    local.write_text("cold")
    for key in ("cold/1", "cold/2"):
        coscli("cp", local, f"cos://{bucket}/{key}", "--storage-class", "ARCHIVE")
        assert server.cos("GET", bucket, key).status == 403
    coscli("restore", f"cos://{bucket}/cold/", "-r", "-d", "2", "-m", "Expedited")
    for key in ("cold/1", "cold/2"):
        assert "ongoing-request" in server.cos("HEAD", bucket, key).header("x-cos-restore")


def test_versions(server, coscli, bucket, tmp_path):
    coscli("bucket-versioning", "--method", "put", f"cos://{bucket}", "Enabled")
    local, back = tmp_path / "local", tmp_path / "back"
    versions = []
    for text in ("first", "second one"):
        local.write_text(text)
        coscli("cp", local, f"cos://{bucket}/dir/a")
        versions.append(server.cos("HEAD", bucket, "dir/a").header("x-cos-version-id"))
    coscli("cp", f"cos://{bucket}/dir/a", back, "--version-id", versions[0])
    assert back.read_text() == "first"
    coscli("rm", f"cos://{bucket}/dir/a", "-f")
    listed = coscli("ls", f"cos://{bucket}/dir/", "-r", "--all-versions").stdout
    assert all(version in listed for version in versions)
    assert "dir/a" not in coscli("ls", f"cos://{bucket}/dir/", "-r").stdout
    coscli("rm", f"cos://{bucket}/dir/a", "-f", "--version-id", versions[1])
    listed = coscli("ls", f"cos://{bucket}/dir/", "-r", "--all-versions").stdout
    assert versions[0] in listed and versions[1] not in listed
    coscli("rm", f"cos://{bucket}/dir/", "-r", "-f", "--all-versions")
    assert "dir/a" not in coscli("ls", f"cos://{bucket}/dir/", "-r", "--all-versions").stdout


def test_speed_limit(coscli, bucket, tmp_path):
    # In MiB per second, of each request.
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(body(3 << 20))
    for source, target in ((local, f"cos://{bucket}/limited"), (f"cos://{bucket}/limited", back)):
        begun = time.monotonic()
        coscli("cp", source, target, "--rate-limiting", "1")
        assert time.monotonic() - begun > 2.5
    assert back.read_bytes() == local.read_bytes()
