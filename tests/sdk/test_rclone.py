"""rclone, with its providers for S3 in general and for Tencent COS."""

import pytest

import harness
import trees
from checksums import body, md5_hex
from clis import run, through
from conftest import bucket_name


def rclone_for(server, folder, provider, endpoint, path_style, env=None):
    config = folder / "rclone.conf"
    config.write_text(
        "[r]\ntype = s3\n"
        f"provider = {provider}\n"
        f"access_key_id = {harness.SECRET_ID}\n"
        f"secret_access_key = {harness.SECRET_KEY}\n"
        f"endpoint = {endpoint}\n"
        f"region = {harness.REGION}\n"
        f"force_path_style = {'true' if path_style else 'false'}\n"
    )

    def command(*arguments, **more):
        options = ("--config", config, "--retries", "1", "--low-level-retries", "1", "--transfers", "8")
        return run("rclone", *options, *arguments, env=env, **more)

    return command


@pytest.fixture
def rclone(server, tmp_path):
    return rclone_for(server, tmp_path, "Other", f"http://127.0.0.1:{server.port}", True)


def test_sync_up_and_down(rclone, bucket, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    trees.make(up, seed=15, small=3000, large=[300 * trees.MIB, 20 * trees.MIB + 1])
    rclone("sync", up, f"r:{bucket}/tree")
    rclone("check", up, f"r:{bucket}/tree")
    rclone("sync", f"r:{bucket}/tree", down)
    trees.same(up, down)
    (up / "many/00/00000.dat").write_bytes(b"changed")
    (up / "many/01/00001.dat").unlink()
    (up / "many/02/00002.dat").rename(up / "many/02/renamed +%?#.dat")
    rclone("sync", "--checksum", up, f"r:{bucket}/tree")
    rclone("sync", f"r:{bucket}/tree", down)
    trees.same(up, down)
    rclone("sync", f"r:{bucket}/tree/large", f"r:{bucket}/copy")
    rclone("check", f"{up}/large", f"r:{bucket}/copy")
    rclone("purge", f"r:{bucket}")
    assert bucket not in rclone("lsd", "r:").stdout


def test_objects_one_by_one(rclone, bucket, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(body(12_000_000))
    rclone("copyto", local, f"r:{bucket}/dir/one 一")
    rclone("moveto", f"r:{bucket}/dir/one 一", f"r:{bucket}/dir/two")
    assert sorted(rclone("lsf", "-R", f"r:{bucket}").stdout.split()) == ["dir/", "dir/two"]
    assert rclone("md5sum", f"r:{bucket}/dir").stdout.split() == [md5_hex(body(12_000_000)), "two"]
    assert rclone("cat", f"r:{bucket}/dir/two", "--offset", "5", "--count", "0").stdout == ""
    piece = body(12_000_000)
    rclone("rcat", f"r:{bucket}/piped", stdin=piece)
    rclone("copyto", f"r:{bucket}/piped", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == piece
    assert '"bytes":24000000' in rclone("size", "--json", f"r:{bucket}").stdout
    rclone("delete", f"r:{bucket}")
    assert rclone("lsf", "-R", f"r:{bucket}").stdout == ""


@pytest.mark.parametrize("path_style", [False, True])
def test_as_tencent_cos_through_a_proxy(server, tmp_path, path_style):
    rclone = rclone_for(
        server, tmp_path, "TencentCOS", f"http://{harness.ENDPOINT}", path_style, through(server)
    )
    bucket = bucket_name()
    up, down = tmp_path / "up", tmp_path / "down"
    trees.make(up, seed=16, small=40, large=[6 * trees.MIB])
    rclone("mkdir", f"r:{bucket}")
    rclone("sync", up, f"r:{bucket}")
    rclone("sync", f"r:{bucket}", down)
    trees.same(up, down)
