"""s3cmd, in both signature versions."""

import pytest

import harness
import trees
from checksums import body, md5_hex
from clis import installed, run
from conftest import bucket_name

# s3cmd has no way to name these on its command line or in its own listing files.
NAMES = [n for n in trees.ODD_NAMES if n not in ("trailing ", " leading")]


def s3cmd_for(server, folder, host, env=None, **options):
    config = folder / "s3cfg"
    settings = {
        "access_key": harness.SECRET_ID,
        "secret_key": harness.SECRET_KEY,
        "host_base": host,
        "host_bucket": host if host.startswith("127.") else f"%(bucket)s.{host}",
        "bucket_location": harness.REGION,
        "use_https": "False",
        "max_retries": 1,
        "progress_meter": "False",
        "multipart_chunk_size_mb": 8,
        **options,
    }
    config.write_text("[default]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))

    def command(*arguments, **more):
        return run(installed("s3cmd"), "-c", config, *arguments, env=env, **more)

    return command


@pytest.fixture
def s3cmd(server, tmp_path):
    return s3cmd_for(server, tmp_path, f"127.0.0.1:{server.port}")


def test_sync_up_and_down(s3cmd, bucket, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    trees.make(up, seed=14, small=1200, odd=NAMES)
    down.mkdir()
    s3cmd("sync", "--quiet", f"{up}/", f"s3://{bucket}/tree/")
    s3cmd("sync", "--quiet", f"s3://{bucket}/tree/", f"{down}/")
    trees.same(up, down)
    assert "upload:" not in s3cmd("sync", f"{up}/", f"s3://{bucket}/tree/").stdout
    (up / "many/00/00000.dat").write_bytes(b"changed")
    (up / "many/01/00001.dat").unlink()
    s3cmd("sync", "--quiet", "--delete-removed", f"{up}/", f"s3://{bucket}/tree/")
    s3cmd("sync", "--quiet", "--delete-removed", f"s3://{bucket}/tree/", f"{down}/")
    trees.same(up, down)
    s3cmd("sync", "--quiet", f"s3://{bucket}/tree/many/", f"s3://{bucket}/copy/")
    s3cmd("rb", "--quiet", "--recursive", "--force", f"s3://{bucket}")
    assert bucket not in s3cmd("ls").stdout


@pytest.mark.parametrize("version", [2, 4])
def test_objects_one_by_one(server, tmp_path, version):
    host = f"127.0.0.1:{server.port}"
    s3cmd = s3cmd_for(server, tmp_path, host, signature_v2=version == 2)
    bucket = bucket_name()
    s3cmd("mb", f"s3://{bucket}")
    local = tmp_path / "local"
    local.write_bytes(body(20_000_000))
    s3cmd("put", local, f"s3://{bucket}/a/b + 中", "--add-header=x-amz-meta-a:1", "--storage-class=STANDARD_IA")
    info = s3cmd("info", f"s3://{bucket}/a/b + 中", check=False).stdout
    assert "20000000" in info and "STANDARD_IA" in info, info
    assert md5_hex(body(20_000_000)) in info  # s3cmd keeps it in its own metadata
    s3cmd("get", f"s3://{bucket}/a/b + 中", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    s3cmd("cp", f"s3://{bucket}/a/b + 中", f"s3://{bucket}/c")
    s3cmd("modify", "--add-header=content-type:text/x", f"s3://{bucket}/c")
    assert "text/x" in s3cmd("info", f"s3://{bucket}/c", check=False).stdout
    s3cmd("mv", f"s3://{bucket}/c", f"s3://{bucket}/d")
    listed = s3cmd("ls", "--recursive", f"s3://{bucket}").stdout
    assert f"s3://{bucket}/a/b + 中" in listed and f"s3://{bucket}/d" in listed
    assert f"s3://{bucket}/c" not in listed
    assert "40000000" in s3cmd("du", f"s3://{bucket}").stdout
    url = s3cmd("signurl", f"s3://{bucket}/d", "+100").stdout.strip()
    run("python3", "-c", f"import urllib.request as u; assert len(u.urlopen('{url}').read()) == 20000000")
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}")
    s3cmd("rb", f"s3://{bucket}")


def test_virtual_hosted_through_a_proxy(server, tmp_path):
    s3cmd = s3cmd_for(
        server, tmp_path, harness.ENDPOINT, proxy_host="127.0.0.1", proxy_port=server.port
    )
    bucket = bucket_name()
    s3cmd("mb", f"s3://{bucket}")
    local = tmp_path / "local"
    local.write_bytes(b"proxied")
    s3cmd("put", local, f"s3://{bucket}/k")
    s3cmd("get", f"s3://{bucket}/k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"proxied"
