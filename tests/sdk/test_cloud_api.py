"""Tencent Cloud API 3.0 at the server's own address, through the vendor's SDK."""

import json
import time

import pytest
import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models
from tencentcloud.sts.v20180813.sts_client import StsClient

import harness

SIGNATURES = ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"]


def profile(server, signature="TC3-HMAC-SHA256", method="POST", **more):
    http = HttpProfile(
        protocol="http", endpoint=f"127.0.0.1:{server.port}", reqMethod=method, **more
    )
    return ClientProfile(signMethod=signature, httpProfile=http)


def client(server, key=harness.SECRET_KEY, token=None, id=harness.SECRET_ID, **more):
    return StsClient(Credential(id, key, token), harness.REGION, profile(server, **more))


def refused(call, *arguments):
    with pytest.raises(TencentCloudSDKException) as caught:
        call(*arguments)
    assert caught.value.get_request_id(), "an error has its request id"
    return caught.value.get_code()


def logged(server, text):
    """Waits for the log, which is written when the answer has gone."""
    deadline = time.monotonic() + 10
    while text not in server.log():
        assert time.monotonic() < deadline, f"no {text} in\n{server.log()}"
        time.sleep(0.05)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_who_am_i(server, signature, method):
    sts = client(server, signature=signature, method=method)
    answer = sts.GetCallerIdentity(models.GetCallerIdentityRequest())
    uin = harness.OWNER_UIN
    assert (answer.AccountId, answer.UserId, answer.PrincipalId) == (uin, uin, uin)
    assert answer.Arn == f"qcs::cam:{uin}:uin/{uin}" and answer.Type == "CAMUser"
    logged(server, answer.RequestId)


def test_the_vendors_host_names_through_a_proxy(server):
    http = HttpProfile(protocol="http", proxy=f"127.0.0.1:{server.port}")
    for endpoint in ("sts.tencentcloudapi.com", "sts.ap-beijing.tencentcloudapi.com"):
        http.endpoint = endpoint
        sts = StsClient(
            Credential(harness.SECRET_ID, harness.SECRET_KEY),
            harness.REGION,
            ClientProfile(httpProfile=http),
        )
        answer = sts.GetCallerIdentity(models.GetCallerIdentityRequest())
        assert answer.AccountId == harness.OWNER_UIN


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_who_is_nobody(server, signature, method):
    def ask(**more):
        sts = client(server, signature=signature, method=method, **more)
        return refused(sts.GetCallerIdentity, models.GetCallerIdentityRequest())

    assert ask(key="wrong-secret-key") == "AuthFailure.SignatureFailure"
    assert ask(id="AKIDunknown") == "AuthFailure.SecretIdNotFound"
    assert ask(token="a-token-of-nobody") == "AuthFailure.TokenFailure"


def test_what_is_not_there(server):
    sts = client(server)
    saml = models.AssumeRoleWithSAMLRequest()
    assert refused(sts.AssumeRoleWithSAML, saml) == "UnsupportedOperation"

    def call(service, version, action, parameters):
        common = CommonClient(
            service, version, Credential(harness.SECRET_ID, harness.SECRET_KEY), harness.REGION,
            profile(server),
        )
        return refused(common.call_json, action, parameters)

    sts = ("sts", "2018-08-13")
    assert call(*sts, "GetNothing", {}) == "InvalidAction"
    assert call(*sts, "GetCallerIdentity", {"Name": "a"}) == "UnknownParameter"
    assert call("sts", "2017-03-12", "GetCallerIdentity", {}) == "NoSuchVersion"
    assert call("cvm", "2017-03-12", "DescribeInstances", {}) == "NoSuchProduct"


def test_bad_input_is_answered_in_json(server):
    url = f"http://127.0.0.1:{server.port}/"
    named = {"X-TC-Action": "GetCallerIdentity", "X-TC-Version": "2018-08-13"}

    def code(method="POST", path="", **more):
        answer = requests.request(method, url + path, **more)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        response = json.loads(answer.content)["Response"]
        assert response["RequestId"]
        return response["Error"]["Code"]

    assert code(headers=named) == "MissingParameter"
    assert code(headers={**named, "Authorization": "SKIP"}) == "MissingParameter"
    assert code(headers={**named, "Authorization": "TC3-HMAC-SHA256 x"}) == (
        "AuthFailure.InvalidAuthorization"
    )
    assert code(method="PUT", headers=named) == "InvalidRequest"
    assert code(path="bucket", headers=named) == "InvalidRequest"
    assert code(headers=named, data=b"x" * 200_000) == "RequestSizeLimitExceeded"
    assert code(data={"Action": "GetCallerIdentity"}) == "MissingParameter"
    assert code(data={"Signature": "x", "Timestamp": "1"}) == "MissingParameter"
    form = {"Signature": "x", "Timestamp": "1", "SecretId": harness.SECRET_ID}
    assert code(data=form) == "AuthFailure.SignatureExpire"
    assert code(data={**form, "SignatureMethod": "MD5"}) == "AuthFailure.InvalidAuthorization"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert code(data=b"a=%ff", headers=kind) == "InvalidRequest"
