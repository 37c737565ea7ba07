"""coscmd, which knows no port: every request goes through the proxy setting."""

import re

import pytest

import harness
import trees
from checksums import body, md5_hex
from clis import installed, run, through
from conftest import bucket_name

# Names coscmd itself cannot carry: it rewrites `./` inside a path, and its
# download treats what follows a `..` as an escape from the folder.
NAMES = [n for n in trees.ODD_NAMES if ".." not in n]


def coscmd_for(server, bucket, folder, **options):
    config = folder / "cos.conf"
    settings = {
        "secret_id": harness.SECRET_ID,
        "secret_key": harness.SECRET_KEY,
        "bucket": bucket,
        "region": harness.REGION,
        "max_thread": 8,
        "part_size": 5,
        # Fewer than one, and coscmd does not even try.
        "retry": 1,
        "schema": "http",
        "verify": "md5",
        "auto_switch_domain": "False",
        **options,
    }
    config.write_text("[common]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))

    def command(*arguments, **more):
        return run(
            installed("coscmd"), "-c", config, "-l", folder / "cos.log", *arguments,
            env=through(server), **more,
        )

    return command


@pytest.fixture
def coscmd(server, bucket, tmp_path):
    return coscmd_for(server, bucket, tmp_path)


def test_sync_up_and_down(coscmd, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    trees.make(up, seed=12, small=1200, odd=NAMES)
    coscmd("upload", "-rs", f"{up}/", "tree/")
    coscmd("download", "-rs", "tree/", f"{down}/")
    trees.same(up, down)
    # Nothing left to do: every file is skipped.
    again = coscmd("upload", "-rs", f"{up}/", "tree/")
    assert re.search(r"\b0 files uploaded, \d+ files skipped, 0 files failed", again.stderr), again.stderr[-500:]
    (up / "many/00/00000.dat").write_bytes(b"changed")
    (up / "many/01/00001.dat").unlink()
    coscmd("upload", "-rsy", "--delete", f"{up}/", "tree/")
    coscmd("download", "-rsy", "--delete", "tree/", f"{down}/")
    trees.same(up, down)
    coscmd("delete", "-rfy", "tree/")
    assert "tree/" not in coscmd("list", "-ar").stdout


def test_objects_one_by_one(server, coscmd, bucket, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(body(3_000_000))
    coscmd("upload", local, "dir/one 一.bin", "-H", '{"x-cos-storage-class":"STANDARD_IA","x-cos-meta-a":"1"}')
    info = coscmd("info", "dir/one 一.bin").stdout
    assert "3000000" in info and "STANDARD_IA" in info
    head = server.cos("HEAD", bucket, "dir/one 一.bin")
    assert head.header("x-cos-meta-a") == "1"
    assert head.header("x-cos-meta-md5") == md5_hex(body(3_000_000))
    source = f"{harness.host_of(bucket)}/dir/one 一.bin"
    coscmd("copy", source, "dir/two")
    coscmd("move", source, "dir/three")
    listed = coscmd("list", "-r", "dir").stdout
    assert "dir/two" in listed and "dir/three" in listed and "one" not in listed
    coscmd("download", "dir/three", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body(3_000_000)
    assert f"http://{harness.host_of(bucket)}/dir/two?q-sign-algorithm" in coscmd("signurl", "dir/two").stdout
    coscmd("delete", "-fy", "dir/two")
    missing = coscmd("download", "dir/two", tmp_path / "none", check=False)
    assert missing.returncode != 0


def test_bucket_and_uploads(server, tmp_path):
    name = bucket_name()
    coscmd = coscmd_for(server, name, tmp_path)
    coscmd("createbucket")
    started = server.cos("POST", name, "open", query={"uploads": ""})
    assert started.status == 200
    upload = re.search(r"<UploadId>(.*)</UploadId>", started.body.decode())[1]
    # What it says about uploads goes to its log.
    assert upload in coscmd("listparts").stderr
    coscmd("abort")
    assert upload not in coscmd("listparts", check=False).stderr
    assert coscmd("probe", check=False).returncode == 0
    coscmd("deletebucket", "-f")
    assert server.cos("HEAD", name).status == 404
