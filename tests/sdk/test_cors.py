"""CORS through both vendors' SDKs, and what a browser would see of it."""

import requests

from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import refused as cos_refused

PAGE = "https://page.example"


def preflight(url, origin, method, headers=None):
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return requests.options(url, headers=asked, timeout=10)


def test_rules_of_one_dialect_are_read_in_the_other(aws, cos, bucket):
    assert aws_refused(aws.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    expect(cos_refused(cos.get_bucket_cors, Bucket=bucket), 404, "NoSuchCORSConfiguration")
    rule = {
        "ID": "mine",
        "AllowedOrigin": ["http://a", "http://*.b"],
        "AllowedMethod": ["PUT", "GET"],
        "AllowedHeader": ["*"],
        "ExposeHeader": ["ETag"],
        "MaxAgeSeconds": "600",
    }
    cos.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRule": [rule]})
    assert cos.get_bucket_cors(Bucket=bucket)["CORSRule"] == [rule]
    assert aws.get_bucket_cors(Bucket=bucket)["CORSRules"] == [
        {
            "ID": "mine",
            "AllowedOrigins": ["http://a", "http://*.b"],
            "AllowedMethods": ["PUT", "GET"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 600,
        }
    ]
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
    aws.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert cos.get_bucket_cors(Bucket=bucket)["CORSRule"] == [{"AllowedOrigin": ["*"], "AllowedMethod": ["GET"]}]
    bad = {"CORSRules": [{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}]}
    assert aws_refused(aws.put_bucket_cors, Bucket=bucket, CORSConfiguration=bad) == (400, "InvalidRequest")
    assert aws.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    cos.delete_bucket_cors(Bucket=bucket)
    assert aws_refused(aws.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")


def test_signed_links_from_a_page(aws, cos, bucket):
    aws.put_object(Bucket=bucket, Key="key", Body=b"data")
    rules = [{"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example"], "AllowedHeaders": ["*"]}]
    aws.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    links = [
        aws.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "key"}),
        cos.get_presigned_url(Bucket=bucket, Key="key", Method="PUT"),
    ]
    for link in links:
        asked = preflight(link, PAGE, "PUT", "content-type")
        assert asked.status_code == 200, asked.text
        assert asked.headers["Access-Control-Allow-Origin"] == PAGE
        assert asked.headers["Access-Control-Allow-Headers"] == "content-type"
        put = requests.put(link, data=b"new", headers={"Origin": PAGE}, timeout=10)
        assert (put.status_code, put.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
        refused = preflight(link, "https://elsewhere", "PUT")
        assert refused.status_code == 403 and "<Code>AccessForbidden</Code>" in refused.text
        broken = requests.put(link + "x", headers={"Origin": PAGE}, timeout=10)
        assert (broken.status_code, broken.headers["Access-Control-Allow-Origin"]) == (403, PAGE)
