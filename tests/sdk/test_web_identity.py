"""Roles taken on by tokens of an identity provider: AssumeRoleWithWebIdentity of AWS STS.

The provider is one of the tests' own, with real keys that it publishes over HTTP. Every
way in which a token can be wrong is tried.
"""

import base64
import hashlib
import json
import subprocess
import time

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config

import harness
from issuer import EcKey, Issuer, RsaKey, base64url, token
from s3client import s3
from test_aws_sts import client, iam_policy, keys, refused, remaining
from test_boto3 import refused as s3_refused
from test_users import unused

UIN = harness.OWNER_UIN

# Least time between two calls for a provider's keys.
REFETCH_S = 10


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer()
    issuer.keys = [RsaKey("first"), EcKey("second")]
    yield issuer
    issuer.close()


@pytest.fixture(scope="module")
def provider(server, issuer):
    made = client(server, "iam").create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=["costrel", "another"], ThumbprintList=["0" * 40]
    )
    return made["OpenIDConnectProviderArn"]


def sts_of(server):
    """Without a key."""
    return boto3.client(
        "sts",
        endpoint_url=f"http://{harness.ENDPOINT}:{server.port}",
        region_name=harness.REGION,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )


def trust(provider, conditions=None, action="sts:AssumeRoleWithWebIdentity"):
    statement = {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": action}
    if conditions:
        statement["Condition"] = conditions
    return iam_policy(statement)


def make_role(server, trusted, *statements):
    iam, name = client(server, "iam"), unused("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted)
    if statements:
        policy = iam_policy(*statements)
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
    return name


@pytest.fixture
def role(server, provider, bucket):
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return make_role(server, trust(provider), reads)


def wanted(role, text, **more):
    arn = f"arn:aws:iam::{UIN}:role/{role}"
    return {"RoleArn": arn, "RoleSessionName": "robot-1", "WebIdentityToken": text, **more}


def code(server, role, text, **more):
    return refused(sts_of(server).assume_role_with_web_identity, **wanted(role, text, **more))


def test_a_providers_life(server):
    iam = client(server, "iam")
    url = f"https://{unused('issuer').lower()}.example.com/realm"
    arn = f"arn:aws:iam::{UIN}:oidc-provider/{url[8:]}"
    prints = ["9e99a48a9960b14926bb7f3b02e22da2b0ab7280", "A" * 40]
    made = iam.create_open_id_connect_provider(
        Url=url, ClientIDList=["one"], ThumbprintList=prints
    )
    assert made["OpenIDConnectProviderArn"] == arn
    again = refused(iam.create_open_id_connect_provider, Url=url)
    assert again == (409, "EntityAlreadyExists")
    named = {"OpenIDConnectProviderArn": arn}
    shown = iam.get_open_id_connect_provider(**named)
    assert (shown["Url"], shown["ClientIDList"]) == (url[8:], ["one"])
    assert shown["ThumbprintList"] == [prints[0], "a" * 40]
    assert arn in [p["Arn"] for p in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(**named, ClientID="two")
    iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="one")
    iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="nobody")
    iam.update_open_id_connect_provider_thumbprint(**named, ThumbprintList=["b" * 40])
    shown = iam.get_open_id_connect_provider(**named)
    assert (shown["ClientIDList"], shown["ThumbprintList"]) == (["two"], ["b" * 40])
    iam.delete_open_id_connect_provider(**named)
    assert refused(iam.get_open_id_connect_provider, **named) == (404, "NoSuchEntity")
    assert refused(iam.delete_open_id_connect_provider, **named) == (404, "NoSuchEntity")


def test_what_no_provider_can_be(server):
    create = client(server, "iam").create_open_id_connect_provider
    for url in ("http://token.example.com", "https://a.example/?b", "http://169.254.169.254/a"):
        assert refused(create, Url=url) == (400, "InvalidInput"), url
    url = "https://a.example"
    assert refused(create, Url=url, ThumbprintList=["x" * 40]) == (400, "InvalidInput")
    assert refused(create, Url=url, ThumbprintList=["a" * 40] * 6) == (400, "InvalidInput")
    many = [f"client-{n}" for n in range(101)]
    assert refused(create, Url=url, ClientIDList=many) == (409, "LimitExceeded")


@pytest.mark.parametrize("which", [0, 1], ids=["RS256", "ES256"])
def test_a_token_is_worth_a_key(server, issuer, role, bucket, which):
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")
    text = token(issuer.claims(), issuer.keys[which])
    answer = sts_of(server).assume_role_with_web_identity(**wanted(role, text))
    assert answer["SubjectFromWebIdentityToken"] == "robot"
    assert (answer["Provider"], answer["Audience"]) == (issuer.url, "costrel")
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{UIN}:assumed-role/{role}/robot-1"
    assert 3500 < remaining(answer["Credentials"]) <= 3600
    mine = client(server, "s3", **keys(answer["Credentials"]))
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert s3_refused(mine.put_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    sts = client(server, "sts", **keys(answer["Credentials"]))
    assert sts.get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
    lists = iam_policy({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    short = wanted(role, text, Policy=lists, DurationSeconds=900)
    narrowed = sts_of(server).assume_role_with_web_identity(**short)["Credentials"]
    assert 880 < remaining(narrowed) <= 900
    mine = client(server, "s3", **keys(narrowed))
    assert s3_refused(mine.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    # The key ends with its role.
    iam = client(server, "iam")
    iam.delete_role_policy(RoleName=role, PolicyName="own")
    iam.delete_role(RoleName=role)
    assert refused(sts.get_caller_identity) == (403, "InvalidClientTokenId")
    assert code(server, role, text) == (403, "AccessDenied")


def test_a_signed_request_says_no_more_than_its_token(server, issuer, role):
    signed = client(server, "sts")
    text = token(issuer.claims(), issuer.keys[0])
    answer = signed.assume_role_with_web_identity(**wanted(role, text))
    assert answer["AssumedRoleUser"]["Arn"].endswith(f"/{role}/robot-1")
    bad = wanted(role, token(issuer.claims(aud="them"), issuer.keys[0]))
    assert refused(signed.assume_role_with_web_identity, **bad) == (400, "InvalidIdentityToken")


INVALID = (400, "InvalidIdentityToken")


def test_what_a_token_must_say(server, issuer, role):
    now = int(time.time())
    for changes, expected in (
        ({"aud": "them"}, INVALID),
        ({"aud": ["them", "others"]}, INVALID),
        ({"aud": None}, INVALID),
        ({"azp": "them"}, INVALID),
        ({"sub": None}, INVALID),
        ({"sub": ["robot"]}, INVALID),
        ({"exp": now - 1}, (400, "ExpiredTokenException")),
        ({"exp": None}, INVALID),
        ({"exp": str(now + 300)}, INVALID),
        ({"nbf": now + 300}, INVALID),
        ({"iat": now + 300}, INVALID),
        ({"iat": None}, INVALID),
        ({"iss": None}, INVALID),
        ({"iss": issuer.url + "/"}, INVALID),
        ({"iss": issuer.url.replace("http", "https")}, INVALID),
        ({"iss": issuer.url.upper()}, INVALID),
        ({"iss": issuer.place}, INVALID),
    ):
        text = token(issuer.claims(**changes), issuer.keys[0])
        assert code(server, role, text) == expected, changes
    for changes in ({"aud": ["them", "another"]}, {"aud": "them", "azp": "costrel"}, {"nbf": now}):
        text = token(issuer.claims(**changes), issuer.keys[0])
        assert sts_of(server).assume_role_with_web_identity(**wanted(role, text)), changes


def test_only_the_issuers_keys_sign(server, issuer, role):
    import hmac

    rsa, ec = issuer.keys
    claims = issuer.claims()
    pem = rsa.key.public_key().export_key()

    def shared(header, secret):
        message = f"{base64url(header)}.{base64url(claims)}".encode()
        return token(claims, header=header, signature=hmac.digest(secret, message, "sha256"))

    stranger = RsaKey("first")
    good = token(claims, rsa)
    head, body, signature = good.split(".")
    for text in (
        token(claims, header={"alg": "none"}, signature=b""),
        token(claims, header={"alg": "none", "kid": "first"}, signature=b"x"),
        f"{base64url({'alg': 'none'})}.{body}.",
        shared({"alg": "HS256", "kid": "first"}, pem),
        shared({"alg": "HS256", "kid": "first"}, base64url(pem).encode()),
        shared({"alg": "HS256"}, json.dumps(rsa.public()).encode()),
        shared({"alg": "RS256", "kid": "first"}, pem),
        token(claims, stranger),
        token(claims, header={"alg": "RS256", "jwk": stranger.public()}, signature=b"x" * 256),
        token(claims, ec, header={"alg": "RS256", "kid": "first"}),
        token(claims, rsa, header={"alg": "ES256", "kid": "second"}),
        token(claims, rsa, header={"alg": "RS256", "kid": "first", "crit": ["exp"]}),
        f"{head}.{base64url(issuer.claims(sub='root'))}.{signature}",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{head}.{body}.",
        f"{head}.{body}",
        "not a token",
    ):
        assert code(server, role, text) == INVALID, text
    assert code(server, role, "a.b." + "c" * 30_000)[0] == 400
    # Nobody knows the key yet that it was signed with: it is looked for, but seldom.
    assert issuer.asked.count("/realm/keys") <= 2


def test_new_keys_are_found(server, issuer, role):
    time.sleep(REFETCH_S + 1)
    new = EcKey("third")
    before = list(issuer.keys)
    issuer.keys.append(new)
    assert sts_of(server).assume_role_with_web_identity(
        **wanted(role, token(issuer.claims(), new))
    )
    issuer.keys[:] = before
    asked = len(issuer.asked)
    for _ in range(20):
        assert code(server, role, token(issuer.claims(), EcKey("nobody"))) == INVALID
    assert len(issuer.asked) == asked


def test_nobody_else_is_ever_asked(server, role):
    stranger = Issuer("/stranger")
    stranger.keys = [EcKey("key")]
    text = token(stranger.claims(), stranger.keys[0])
    assert code(server, role, text) == INVALID
    for iss in ("http://127.0.0.1:1/a", "file:///etc/passwd", "https://a.example", "x" * 1000):
        assert code(server, role, token(stranger.claims(iss=iss), stranger.keys[0])) == INVALID
    jku = {"alg": "ES256", "kid": "key", "jku": f"{stranger.url}/keys", "x5u": stranger.url}
    assert code(server, role, token(stranger.claims(), stranger.keys[0], header=jku)) == INVALID
    assert stranger.asked == []
    stranger.close()


def test_conditions_of_trust_policies(server, issuer, provider):
    place = issuer.place
    text = token(issuer.claims(sub="repo:one", amr=["pwd"]), issuer.keys[1])
    for conditions, allowed in (
        ({"StringEquals": {f"{place}:aud": "costrel"}}, True),
        ({"StringEquals": {f"{place}:aud": "another"}}, False),
        ({"StringLike": {f"{place}:sub": "repo:*"}}, True),
        ({"StringLike": {f"{place}:sub": "repo:two*"}}, False),
        ({"StringEquals": {"127.0.0.1:1/other:sub": "repo:one"}}, False),
        ({"ForAnyValue:StringEquals": {f"{place}:amr": "mfa"}}, False),
        ({"StringEquals": {"sts:RoleSessionName": "robot-1"}}, True),
        ({"StringEquals": {"sts:RoleSessionName": "robot-2"}}, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
    ):
        role = make_role(server, trust(provider, conditions))
        if allowed:
            assert sts_of(server).assume_role_with_web_identity(**wanted(role, text)), conditions
        else:
            assert code(server, role, text) == (403, "AccessDenied"), conditions


def test_what_would_come_of_a_token(server, issuer, provider):
    place = issuer.place
    role = make_role(server, trust(provider, {"StringLike": {f"{place}:sub": "robot-*"}}))

    def explain(*more, by=issuer.url, action="sts:AssumeRoleWithWebIdentity"):
        resource = f"arn:aws:iam::{UIN}:role/{role}"
        asked = ["--provider", by, "--action", action, "--resource", resource, *more]
        ran = server.operate("policy", "explain", *asked)
        return ran.returncode, ran.stdout + ran.stderr

    code, text = explain("--context", f"{place}:sub=robot-1")
    assert code == 0 and text.startswith("allowed: statement 1 of the "), text
    assert explain("--context", f"{place}:sub=somebody")[0] == 1
    code, text = explain()
    assert code == 1 and f"unless given as --context: {place}:sub" in text
    assert explain("--context", f"{place}:sub=robot-1", action="sts:TagSession")[0] == 1
    code, text = explain(by="https://nobody.example")
    assert code != 0 and "no such identity provider" in text
    code, text = explain(action="s3:GetObject")
    assert code != 0 and "nothing else" in text


def test_who_trusts_somebody_else(server, issuer, provider):
    text = token(issuer.claims(), issuer.keys[0])
    other = provider.replace("/realm", "/other")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "sts:*"}
    account = {**everybody, "Principal": {"AWS": UIN}}
    for trusted in (
        trust(other),
        trust(issuer.place),
        trust(provider, action="sts:AssumeRole"),
        iam_policy(everybody),
        iam_policy(account),
        iam_policy(
            json.loads(trust(provider))["Statement"][0],
            {**everybody, "Effect": "Deny", "Action": "sts:AssumeRoleWithWebIdentity"},
        ),
    ):
        role = make_role(server, trusted)
        assert code(server, role, text) == (403, "AccessDenied"), trusted
    # And a token's bearer is no caller of AssumeRole.
    role = make_role(server, trust(provider))
    arn = f"arn:aws:iam::{UIN}:role/{role}"
    refusal = refused(client(server, "sts").assume_role, RoleArn=arn, RoleSessionName="me")
    assert refusal == (403, "AccessDenied")
    # A condition on a token means nothing elsewhere.
    reads = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = iam_policy({**reads, "Condition": {"StringEquals": {f"{issuer.place}:sub": "x"}}})
    put = client(server, "iam").put_role_policy
    refusal = refused(put, RoleName=role, PolicyName="p", PolicyDocument=policy)
    assert refusal == (501, "NotImplemented")


@pytest.mark.parametrize(
    "wrong",
    ["away", "another issuer's", "no keys", "no json", "too long", "elsewhere", "slow", "refused"],
)
def test_providers_that_do_not_answer_well(server, wrong):
    issuer = Issuer(f"/{wrong.split()[0]}")
    issuer.keys = [EcKey("key")]
    configuration, published = f"{issuer.path}/.well-known/openid-configuration", f"{issuer.path}/keys"
    found = json.loads(issuer.answer(configuration)[1])
    if wrong == "another issuer's":
        body = json.dumps({**found, "issuer": "https://a.example"}).encode()
        issuer.answers[configuration] = 200, body, {}
    elif wrong == "no keys":
        issuer.answers[published] = 200, b'{"keys": []}', {}
    elif wrong == "no json":
        issuer.answers[published] = 200, b"<html>", {}
    elif wrong == "too long":
        issuer.answers[published] = 200, b" " * (1 << 20) + issuer.answer(published)[1], {}
    elif wrong == "elsewhere":
        issuer.answers[configuration] = 302, b"", {"Location": issuer.url}
    elif wrong == "refused":
        body = json.dumps({**found, "jwks_uri": "http://192.0.2.1/keys"}).encode()
        issuer.answers[configuration] = 200, body, {}
    elif wrong == "slow":
        plain = issuer.answer

        def answer(path):
            time.sleep(8)
            return plain(path)

        issuer.answer = answer
    elif wrong == "away":
        issuer.close()
    made = client(server, "iam").create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=["costrel"]
    )
    role = make_role(server, trust(made["OpenIDConnectProviderArn"]))
    text = token(issuer.claims(), issuer.keys[0])
    begun = time.monotonic()
    assert code(server, role, text) == (400, "IDPCommunicationError")
    assert time.monotonic() - begun < 30
    asked = len(issuer.asked)
    for _ in range(5):
        assert code(server, role, text) == (400, "IDPCommunicationError")
    assert len(issuer.asked) == asked
    if wrong != "away":
        issuer.close()


def test_tls(tmp_path):
    """Over TLS a provider shows a certificate of an authority of the system, or one whose
    SHA-1 is written down; its name must be right in either case."""
    made = {}
    for name, host in (("trusted", "localhost"), ("unknown", "localhost"), ("other", "other.test")):
        cert, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext"]
            + [f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=critical,CA:FALSE"]
            + ["-keyout", str(key), "-out", str(cert)],
            check=True,
            capture_output=True,
        )
        made[name] = str(cert), str(key)

    def thumbprint(name):
        der = subprocess.run(
            ["openssl", "x509", "-in", made[name][0], "-outform", "DER"],
            check=True,
            capture_output=True,
        ).stdout
        return hashlib.sha1(der).hexdigest()

    empty = tmp_path / "none"
    empty.mkdir()
    environment = {"SSL_CERT_FILE": made["trusted"][0], "SSL_CERT_DIR": str(empty)}
    server = harness.Server(env=environment).start()
    try:
        for name, prints, reached in (
            ("trusted", [], True),
            ("trusted", ["0" * 40], True),
            ("unknown", [], False),
            ("unknown", ["0" * 40], False),
            ("unknown", [thumbprint("unknown")], True),
            ("other", [thumbprint("other")], False),
        ):
            issuer = Issuer(tls=made[name])
            issuer.keys = [EcKey("key")]
            arn = client(server, "iam").create_open_id_connect_provider(
                Url=issuer.url, ClientIDList=["costrel"], ThumbprintList=prints
            )["OpenIDConnectProviderArn"]
            role = make_role(server, trust(arn))
            text = token(issuer.claims(), issuer.keys[0])
            if reached:
                assert sts_of(server).assume_role_with_web_identity(**wanted(role, text)), name
            else:
                assert code(server, role, text) == (400, "IDPCommunicationError"), (name, prints)
            issuer.close()
    finally:
        server.finish()


def test_tencents_providers_and_roles(server, issuer, bucket):
    """The same of Tencent Cloud: providers by CAM, by what they publish or by keys that are
    written down with them, and roles by AssumeRoleWithWebIdentity without a signature."""
    from tencentcloud.common.common_client import CommonClient
    from tencentcloud.common.exception import TencentCloudSDKException
    from test_cloud_api import profile
    from test_cloud_api import refused as cloud_refused
    from test_users import Cam

    def jwks(*keys):
        return base64.b64encode(json.dumps({"keys": [k.public() for k in keys]}).encode()).decode()

    cam, name, role = Cam(server), unused("provider"), unused("role")
    # Nobody asks where keys are written down: there is nobody at this address.
    url = f"https://{name}.example.com/realm"
    mine, other = EcKey("mine"), EcKey("other")
    made = {"IdentityUrl": url, "ClientId": ["costrel"], "Name": name, "Description": "d"}

    def code(action, **parameters):
        return cloud_refused(lambda: getattr(cam, action)(**parameters))

    assert code("CreateOIDCConfig", **made) == "MissingParameter"
    for bad in ("x", base64.b64encode(b"{}").decode(), jwks(), "A" * 60_000):
        refusal = code("CreateOIDCConfig", **made, IdentityKey=bad)
        assert refusal.startswith("InvalidParameter"), bad[:20]
    assert code("CreateOIDCConfig", **made, AutoRotateKey=2) == "InvalidParameter.ParamError"
    cam.CreateOIDCConfig(**made, IdentityKey=jwks(mine))
    again = code("CreateOIDCConfig", **made, IdentityKey=jwks(mine))
    assert again == "InvalidParameter.IdentityNameInUse"
    shown = cam.DescribeOIDCConfig(Name=name)
    assert (shown.IdentityUrl, shown.ClientId, shown.Description) == (url, ["costrel"], "d")
    assert (shown.IdentityKey, shown.AutoRotateKey) == (jwks(mine), 0)
    assert (shown.ProviderType, shown.Status, shown.Name) == (11, 11, name)

    trusted = {
        "effect": "allow",
        "action": "name/sts:AssumeRoleWithWebIdentity",
        "principal": {"federated": [f"qcs::cam::uin/{UIN}:oidc-provider/{name}"]},
        "condition": {"string_equal": {"oidc:aud": "costrel"}},
    }
    cam.CreateRole(
        RoleName=role, PolicyDocument=json.dumps({"version": "2.0", "statement": [trusted]})
    )
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    client(server, "iam").put_role_policy(
        RoleName=role, PolicyName="own", PolicyDocument=iam_policy(reads)
    )
    s3(server).put_object(Bucket=bucket, Key="a", Body=b"seen")

    def take(text, method="POST", action="AssumeRoleWithWebIdentity", **more):
        common = CommonClient(
            "sts", "2018-08-13", None, harness.REGION, profile(server, method=method)
        )
        asked = {
            "ProviderId": name,
            "WebIdentityToken": text,
            "RoleArn": f"qcs::cam::uin/{UIN}:roleName/{role}",
            "RoleSessionName": "robot-1",
            **more,
        }
        return common.call_json(action, asked, options={"SkipSign": True})["Response"]

    def refusal(text, **more):
        with pytest.raises(TencentCloudSDKException) as caught:
            take(text, **more)
        return caught.value.get_code()

    def said(key, **changes):
        return token(issuer.claims(iss=url, **changes), key)

    answer = take(said(mine))
    got = answer["Credentials"]
    assert 7100 < answer["ExpiredTime"] - time.time() <= 7200
    credentials = {"id": got["TmpSecretId"], "key": got["TmpSecretKey"], "token": got["Token"]}
    reader = client(server, "s3", **credentials)
    assert reader.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen"
    assert s3_refused(reader.put_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    bad_token = "InvalidParameter.WebIdentityTokenError"
    assert refusal(said(other)) == bad_token
    assert refusal(said(mine, aud="them")) == bad_token
    assert refusal(said(mine, exp=int(time.time()) - 1)) == bad_token
    assert refusal(said(mine), ProviderId="another") == bad_token
    assert refusal(said(mine), ProviderId="") == bad_token
    assert refusal(said(mine), RoleArn=f"qcs::cam::uin/{UIN}:roleName/x") == "UnauthorizedOperation"
    assert refusal(said(mine), DurationSeconds=7201) == "InvalidParameter.OverTimeError"
    assert refusal(said(mine), Nothing="x") == "UnknownParameter"
    assert refusal("not a token") == bad_token
    # Whatever else nobody signed is nobody's.
    assert refusal(said(mine), action="GetCallerIdentity") == "MissingParameter"
    assert refusal(said(mine), action="AssumeRole") == "MissingParameter"

    # Other keys count at once, and no others.
    cam.UpdateOIDCConfig(**{**made, "Description": "e"}, IdentityKey=jwks(other))
    assert cam.DescribeOIDCConfig(Name=name).Description == "e"
    assert take(said(other)) and refusal(said(mine)) == bad_token
    moved = {**made, "IdentityUrl": url + "/other"}
    assert code("UpdateOIDCConfig", **moved, IdentityKey=jwks(mine)) == "UnsupportedOperation"
    # Keys that the provider publishes.
    cam.DeleteOIDCConfig(Name=name)
    assert refusal(said(other)) == bad_token
    assert code("DescribeOIDCConfig", Name=name) == "InvalidParameter.IdentityNotExist"
    own = Issuer("/cam")
    own.keys = [mine]
    cam.CreateOIDCConfig(**{**made, "IdentityUrl": own.url}, AutoRotateKey=1)
    assert cam.DescribeOIDCConfig(Name=name).AutoRotateKey == 1
    assert take(token(own.claims(), mine))
    assert refusal(token(own.claims(), other)) == bad_token
    own.close()


def test_forms_that_nobody_signed(server):
    url = f"http://{harness.ENDPOINT}:{server.port}/"

    def send(**parameters):
        answer = requests.post(url, data=parameters)
        return answer.status_code, answer.text

    status, text = send(Action="GetCallerIdentity", Version="2011-06-15")
    assert status == 403 and "<Code>MissingAuthenticationToken<" in text
    status, text = send(Action="ListUsers", Version="2010-05-08")
    assert status == 403 and "<Code>MissingAuthenticationToken<" in text
    status, text = send(Action="AssumeRoleWithWebIdentity", Version="2011-06-15")
    assert status == 400 and "<Code>ValidationError<" in text
    status, text = send(
        Action="AssumeRoleWithWebIdentity", Version="2011-06-15", ProviderId="graph.facebook.com"
    )
    assert status == 501 and "<Code>NotImplemented<" in text
    # Those of Tencent Cloud are still its own.
    status, text = send(Action="GetCallerIdentity", Version="2018-08-13")
    assert status == 200 and "not signed" in text
