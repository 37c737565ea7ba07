"""Inventories: what two vendors' SDKs configure, and reports beside what they have put."""

import concurrent.futures
import csv
import datetime
import gzip
import hashlib
import io
import json
import re
import time
import urllib.parse

import pyarrow.orc
import pyarrow.parquet
import pytest

import harness
from conftest import bucket_name
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import refused as cos_refused
from test_temporary_keys import ask, aws_of

DAY_S = 4
ENV = {"COSTREL_DAY_SECONDS": str(DAY_S)}
UIN = harness.OWNER_UIN
ENDINGS = {"CSV": ".csv.gz", "ORC": ".orc", "Parquet": ".parquet"}
KEYS = ["plain", "dir/a b+c", "dir/你好", 'quoted ",", twice', "z%20"]


@pytest.fixture(scope="module")
def server():
    server = harness.new_server(env=ENV).start()
    yield server
    server.finish()


def of_s3(target, id, **more):
    destination = {"Bucket": f"arn:aws:s3:::{target}", "Format": "CSV", "Prefix": "lists"}
    return {
        "Id": id,
        "IsEnabled": True,
        "Destination": {"S3BucketDestination": destination},
        "Schedule": {"Frequency": "Daily"},
        "IncludedObjectVersions": "Current",
        "OptionalFields": ["Size", "ETag", "LastModifiedDate", "StorageClass"],
        **more,
    }


def of_cos(target, **more):
    destination = {
        "Bucket": f"qcs::cos:{harness.REGION}::{target}",
        "Format": "CSV",
        "Prefix": "lists",
        "AccountId": UIN,
    }
    return {
        "IsEnabled": "true",
        "Destination": {"COSBucketDestination": destination},
        "Schedule": {"Frequency": "Daily"},
        "IncludedObjectVersions": "All",
        "OptionalFields": {"Field": ["Size", "ETag", "Crc64", "Tag", "x-cos-meta-colour"]},
        **more,
    }


def put_by_s3(aws, bucket, configuration):
    aws.put_bucket_inventory_configuration(
        Bucket=bucket, Id=configuration["Id"], InventoryConfiguration=configuration
    )


class Report:
    """What a manifest and its files say."""

    def __init__(self, aws, target, name):
        fetch = lambda key: aws.get_object(Bucket=target, Key=key)["Body"].read()
        text = fetch(name)
        checksum = fetch(name.replace("manifest.json", "manifest.checksum")).decode()
        assert hashlib.md5(text).hexdigest() == checksum
        self.name, self.manifest = name, json.loads(text)
        self.files, self.rows = [], []
        for file in self.manifest["files"]:
            packed = fetch(file["key"])
            assert int(file["size"]) == len(packed)
            md5 = file.get("MD5checksum") or file["md5Checksum"]
            assert md5 == hashlib.md5(packed).hexdigest()
            self.files.append(packed)
            ending = ENDINGS[self.manifest["fileFormat"]]
            assert file["key"].endswith(ending), file
            self.rows += getattr(self, self.manifest["fileFormat"].lower())(packed)

    def csv(self, packed):
        names = self.manifest["fileSchema"].split(", ")
        for row in csv.reader(io.StringIO(gzip.decompress(packed).decode())):
            assert len(row) == len(names), row
            yield dict(zip(names, row))

    def orc(self, packed):
        table = pyarrow.orc.ORCFile(io.BytesIO(packed)).read()
        types = {"string": "string", "int64": "bigint", "bool": "boolean"}
        types["timestamp[ns]"] = "timestamp"
        quoted = lambda name: f"`{name}`" if name.startswith("x-") else name
        fields = [f"{quoted(field.name)}:{types[str(field.type)]}" for field in table.schema]
        assert self.manifest["fileSchema"] == f"struct<{','.join(fields)}>"
        return table.to_pylist()

    def parquet(self, packed):
        table = pyarrow.parquet.read_table(io.BytesIO(packed))
        for field in table.schema:
            assert f" {field.name}" in self.manifest["fileSchema"]
            assert str(field.type) in ("string", "int64", "bool", "timestamp[ms, tz=UTC]")
        return table.to_pylist()

    def keys(self):
        return [urllib.parse.unquote(row["Key"]) for row in self.rows]


def manifests(aws, target, prefix="lists/"):
    pages = aws.get_paginator("list_objects_v2").paginate(Bucket=target, Prefix=prefix)
    names = {found["Key"] for page in pages for found in page.get("Contents", [])}
    checksums = {name for name in names if name.endswith("/manifest.checksum")}
    return sorted(name.replace("manifest.checksum", "manifest.json") for name in checksums)


def wait(aws, target, count=1, prefix="lists/", seconds=40):
    deadline = time.monotonic() + seconds
    while len(found := manifests(aws, target, prefix)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return [Report(aws, target, name) for name in found]


# -- configurations --------------------------------------------------------------


def test_configurations_of_s3(aws, bucket, target):
    read = lambda id: aws.get_bucket_inventory_configuration(Bucket=bucket, Id=id)
    missing = (404, "NoSuchConfiguration")
    assert aws_refused(lambda: read("a")) == missing
    configuration = of_s3(target, "a", Filter={"Prefix": "dir/"}, IsEnabled=False)
    put_by_s3(aws, bucket, configuration)
    assert read("a")["InventoryConfiguration"] == configuration
    for number in range(100):
        put_by_s3(aws, bucket, of_s3(target, f"n{number}", IsEnabled=False))
    pages, token = [], {}
    while True:
        page = aws.list_bucket_inventory_configurations(Bucket=bucket, **token)
        pages.append([found["Id"] for found in page["InventoryConfigurationList"]])
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert [len(page) for page in pages] == [100, 1]
    assert len(set(sum(pages, []))) == 101

    def put(change, **more):
        configuration = of_s3(target, "a", **more)
        configuration["Destination"]["S3BucketDestination"].update(change)
        return aws_refused(lambda: put_by_s3(aws, bucket, configuration))

    nowhere = (400, "InvalidS3DestinationBucket")
    assert put({"Bucket": "arn:aws:s3:::missing-1250000000"}) == nowhere
    assert put({"AccountId": "123456789012"}) == nowhere
    assert put({"Bucket": target}) == (400, "MalformedXML")
    assert put({"Encryption": {"SSES3": {}}}) == (501, "NotImplemented")
    assert put({}, OptionalFields=["Colour"]) == (400, "MalformedXML")
    assert put({}, Schedule={"Frequency": "Hourly"}) == (400, "MalformedXML")
    assert read("a")["InventoryConfiguration"] == configuration, "the old one stays"
    aws.delete_bucket_inventory_configuration(Bucket=bucket, Id="a")
    delete = lambda: aws.delete_bucket_inventory_configuration(Bucket=bucket, Id="a")
    assert aws_refused(delete) == missing


def test_configurations_of_cos(cos, bucket, target):
    read = lambda id: cos.get_bucket_inventory(Bucket=bucket, Id=id)
    missing = (404, "InventoryConfigurationNotFoundError")
    expect(cos_refused(lambda: read("a")), *missing)
    tag = {"Key": "k", "Value": "v"}
    filter = {"And": {"Prefix": "dir/", "Tag": tag}, "Period": {"StartTime": "1", "EndTime": "9"}}
    monthly = {"Frequency": "Monthly", "MonthlyDate": "7"}
    configuration = of_cos(target, IsEnabled="false", Filter=filter, Schedule=monthly)
    put = lambda configuration, id="a": cos.put_bucket_inventory(
        Bucket=bucket, Id=id, InventoryConfiguration=configuration
    )
    put(configuration)
    shown = read("a")
    assert shown == {**configuration, "Id": "a"}
    put(of_cos(target, IsEnabled="false"), "b")
    listed = cos.list_bucket_inventory_configurations(Bucket=bucket)
    assert [found["Id"] for found in listed["InventoryConfiguration"]] == ["a", "b"]
    for change, status, code in [
        ({"Bucket": f"qcs::cos:{harness.REGION}::missing-1250000000"}, 400, "InvalidArgument"),
        ({"Bucket": f"qcs::cos:ap-nowhere::{target}"}, 400, "InvalidArgument"),
        ({"AccountId": "7"}, 400, "InvalidArgument"),
        ({"Format": "Parquet"}, 400, "MalformedXML"),
        ({"Encryption": {"SSE-COS": ""}}, 501, "NotImplemented"),
    ]:
        wrong = of_cos(target)
        wrong["Destination"]["COSBucketDestination"].update(change)
        expect(cos_refused(lambda: put(wrong)), status, code)
    assert read("a")["Schedule"] == monthly, "the old one stays"
    cos.delete_bucket_inventory(Bucket=bucket, Id="a")
    expect(cos_refused(lambda: read("a")), *missing)


def test_nobody_writes_by_anothers_hand(server, aws, bucket, target):
    """Whoever wants reports must be allowed to write into their very folder."""
    configure = {"effect": "allow", "action": ["name/cos:PutBucketInventory"], "resource": "*"}
    within = f"qcs::cos:{harness.REGION}:uid/{harness.APPID}:{target}"
    for resource, allowed in [
        (None, False),
        (f"{within}/listsx*", False),
        (f"{within}/lists/other/*", False),
        (f"{within}/lists/*", True),
        (f"{within}/lists/{bucket}/a/*", True),
    ]:
        write = {"effect": "allow", "action": ["name/cos:PutObject"], "resource": resource}
        policy = {"version": "2.0", "statement": [configure] + [write] * bool(resource)}
        limited = aws_of(server, ask(server, policy).Credentials)
        put = lambda: put_by_s3(limited, bucket, of_s3(target, "a"))
        if allowed:
            put()
        else:
            assert aws_refused(put) == (403, "AccessDenied"), resource


# -- reports ---------------------------------------------------------------------


def test_a_report_of_s3(aws, bucket, target):
    etags = {}
    for number, key in enumerate(KEYS):
        answer = aws.put_object(Bucket=bucket, Key=key, Body=b"x" * number)
        etags[key] = answer["ETag"].strip('"')
    put_by_s3(aws, bucket, of_s3(target, "daily"))
    [report] = wait(aws, target)[:1]
    assert report.manifest["sourceBucket"] == bucket
    assert report.manifest["destinationBucket"] == f"arn:aws:s3:::{target}"
    assert report.manifest["fileFormat"] == "CSV" and report.manifest["version"] == "2016-11-30"
    assert report.keys() == sorted(KEYS, key=str.encode)
    for row in report.rows:
        key = urllib.parse.unquote_plus(row["Key"])
        assert row["Bucket"] == bucket and row["StorageClass"] == "STANDARD"
        assert (int(row["Size"]), row["ETag"]) == (KEYS.index(key), etags[key])
        assert row["LastModifiedDate"].endswith("Z")
    listed = aws.list_objects_v2(Bucket=target, Prefix=f"lists/{bucket}/daily/hive/")["Contents"]
    links = aws.get_object(Bucket=target, Key=listed[0]["Key"])["Body"].read().decode().split()
    assert links[0].startswith(f"s3://{target}/lists/{bucket}/daily/data/")
    # And every day again, with what there is then. The names tell minutes apart.
    aws.delete_object(Bucket=bucket, Key=KEYS[0])
    deadline = time.monotonic() + 10 * DAY_S
    while KEYS[0] in wait(aws, target)[-1].keys():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def snake_case(name):
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


def typed(name, text):
    """A value of CSV as a format with types has it."""
    if not text:
        return None
    if name == "Key":
        return urllib.parse.unquote(text)
    if name == "Size":
        return int(text)
    if name in ("IsLatest", "IsDeleteMarker", "IsMultipartUploaded"):
        return {"true": True, "false": False}[text.lower()]
    if name.endswith("Date"):
        return datetime.datetime.fromisoformat(text)
    return text


def assert_says_what_csv_says(report, plain):
    assert len(report.rows) == len(plain.rows)
    for row, text in zip(report.rows, plain.rows):
        for name, value in row.items():
            if isinstance(value, datetime.datetime) and not value.tzinfo:
                row[name] = value.replace(tzinfo=datetime.timezone.utc)
        assert row == {snake_case(name): typed(name, value) for name, value in text.items()}


FIELDS_OF_S3 = [
    "Size", "LastModifiedDate", "StorageClass", "ETag", "IsMultipartUploaded",
    "ReplicationStatus", "EncryptionStatus", "ObjectLockRetainUntilDate", "ObjectLockMode",
    "ObjectLockLegalHoldStatus", "IntelligentTieringAccessTier", "BucketKeyStatus",
    "ChecksumAlgorithm", "ObjectAccessControlList", "ObjectOwner", "LifecycleExpirationDate",
]


def test_formats_of_s3_say_the_same(aws, target):
    bucket = bucket_name()
    aws.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    for number, key in enumerate(KEYS * 3):
        aws.put_object(Bucket=bucket, Key=key, Body=b"x" * number, ChecksumAlgorithm="CRC32")
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=9000)
    aws.put_object(Bucket=bucket, Key="kept", ObjectLockMode="GOVERNANCE",
                   ObjectLockRetainUntilDate=until, ObjectLockLegalHoldStatus="ON")
    aws.delete_object(Bucket=bucket, Key=KEYS[0])
    reports = {}
    for name in ENDINGS:
        all = of_s3(target, name, IncludedObjectVersions="All", OptionalFields=FIELDS_OF_S3)
        all["Destination"]["S3BucketDestination"]["Format"] = name
        put_by_s3(aws, bucket, all)
        reports[name] = wait(aws, target, prefix=f"lists/{bucket}/{name}/")[0]
    plain = reports.pop("CSV")
    assert len(plain.rows) == len(KEYS) * 3 + 2
    said = lambda name: {row[name] for row in plain.rows}
    assert said("ObjectLockMode") == {"", "GOVERNANCE"}
    # Of a delete marker there is nothing to say.
    assert said("ObjectLockLegalHoldStatus") == {"", "On", "Off"}
    assert said("BucketKeyStatus") == {"", "DISABLED"}
    for report in reports.values():
        assert_says_what_csv_says(report, plain)


def test_formats_of_cos_say_the_same(server, cos, aws, bucket, target):
    """With so much to say of each object that not all of it is in memory at once."""
    tags = "&".join(f"{n}{'k' * 120}={'v' * 250}" for n in range(10))
    keys = [f"{number:04}{'k' * 800}" for number in range(1200)]
    labels = {"x-cos-meta-colour": "red" * 600, "x-cos-tagging": tags}
    put = lambda key: server.cos("PUT", bucket, key, headers=labels, body=key.encode()).status
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(put, keys)) == {200}
    reports = {}
    for name in ["CSV", "ORC"]:
        inventory = of_cos(target, IncludedObjectVersions="Current")
        inventory["OptionalFields"]["Field"] += ["x-cos-meta-*", "LastModifiedDate"]
        inventory["Destination"]["COSBucketDestination"]["Format"] = name
        cos.put_bucket_inventory(Bucket=bucket, Id=name, InventoryConfiguration=inventory)
        short, appid = bucket.rsplit("-", 1)
        reports[name] = wait(aws, target, prefix=f"lists/{appid}/{short}/{name}/")[0]
    assert reports["CSV"].keys() == keys
    assert_says_what_csv_says(reports["ORC"], reports["CSV"])
    [file] = [pyarrow.orc.ORCFile(io.BytesIO(file)) for file in reports["ORC"].files]
    assert file.nstripes > 1 and file.compression == "ZLIB"


def test_a_report_of_all_versions_by_cos(server, cos, aws, bucket, target):
    aws.put_object(Bucket=bucket, Key="old", Body=b"1")
    enabled = {"Status": "Enabled"}
    aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    labels = {"x-cos-meta-colour": "red", "x-cos-tagging": "k=v"}
    assert server.cos("PUT", bucket, "new", headers=labels, body=b"23").status == 200
    cos.put_object(Bucket=bucket, Key="new", Body=b"456")
    cos.delete_object(Bucket=bucket, Key="old")
    versions = aws.list_object_versions(Bucket=bucket)
    inventory = of_cos(target)
    cos.put_bucket_inventory(Bucket=bucket, Id="all", InventoryConfiguration=inventory)
    report = wait(aws, target)[0]
    short, appid = bucket.rsplit("-", 1)
    assert report.name.startswith(f"lists/{appid}/{short}/all/2")
    manifest = report.manifest
    assert (manifest["sourceAppid"], manifest["sourceBucket"]) == (appid, short)
    assert manifest["listObjectCount"] == manifest["filterObjectCount"] == "4"
    assert manifest["filterStorageSize"] == "6"
    found = [(row["Key"], row["VersionId"], row["IsLatest"], row["IsDeleteMarker"])
             for row in report.rows]
    listed = [(v["Key"], v["VersionId"], v["IsLatest"], False) for v in versions["Versions"]]
    listed += [(m["Key"], m["VersionId"], m["IsLatest"], True) for m in versions["DeleteMarkers"]]
    assert sorted(found) == sorted((k, v, str(latest), str(m)) for k, v, latest, m in listed)
    [tagged] = [row for row in report.rows if row["Size"] == "2"]
    assert (tagged["Tag"], tagged["x-cos-meta-colour"]) == ("k=v", "red")
    head = cos.head_object(Bucket=bucket, Key="new")
    [newest] = [row for row in report.rows if row["Size"] == "3"]
    assert newest["Crc64"] == head["x-cos-hash-crc64ecma"]
    assert [row["Appid"] for row in report.rows] == [appid] * 4


def test_a_report_at_once(server, cos, aws, bucket, target):
    cos.put_object(Bucket=bucket, Key="k", Body=b"1")
    once = of_cos(target)
    del once["IsEnabled"], once["Schedule"]
    cos.post_bucket_inventory(Bucket=bucket, Id="once", InventoryConfiguration=once)
    [report] = wait(aws, target)
    assert report.keys() == ["k"]
    deadline = time.monotonic() + 20
    while server.cos("GET", bucket, query={"inventory": "", "id": "once"}).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_crash_loses_no_report():
    server = harness.new_server(env=ENV).start()
    aws = s3(server)
    bucket, target = bucket_name(), bucket_name()
    for name in (bucket, target):
        assert server.cos("PUT", name).status == 200
    keys = [f"k{number:04}" for number in range(1500)]
    for key in keys:
        assert server.cos("PUT", bucket, key, body=b"x").status == 200
    for attempt in range(3):
        id = f"i{attempt}"
        put_by_s3(aws, bucket, of_s3(target, id))
        time.sleep(0.05 * attempt)
        server.kill()
        server.start()
        aws = s3(server)
        report = wait(aws, target, prefix=f"lists/{bucket}/{id}/")[0]
        assert report.keys() == keys
    server.finish()
