//! Signatures of API 3.0 against what the official signers make of fixed input.

use costrel_signature::encode::parse_query;
use costrel_signature::{CloudPresented, CloudRequest, CloudSignatureError, Secret};

const ID: &str = "AKIDEXAMPLEEXAMPLEEXAMPLEEXAMPLE01";
const KEY: &str = "EXAMPLESECRETKEYEXAMPLESECRET001";
const HOST: &str = "sts.tencentcloudapi.com";
const TIME: i64 = 1_551_113_065;
const BODY: &str =
    r#"{"Name": "demo", "Policy": "%7B%22version%22%3A%222.0%22%7D", "DurationSeconds": 1800}"#;
const POST_SIGNATURE: &str = "bffb2dce375f90a52fc62cbe797be27cbcad17c8baeee4cfaf94de84ab0b6e97";
const GET_QUERY: &str =
    "Name=demo&Policy=%257B%2522version%2522%253A%25222.0%2522%257D&DurationSeconds=1800";
const GET_SIGNATURE: &str = "d00a45493c699d6e27ce6f1513ddadcbb3f972b254a12b8ef67c273d72f57f0a";

type Headers<'a> = [(&'a str, &'a str)];

fn authorization(signature: &str) -> String {
    format!(
        "TC3-HMAC-SHA256 Credential={ID}/2019-02-25/sts/tc3_request, \
         SignedHeaders=content-type;host, Signature={signature}"
    )
}

fn judged(request: &CloudRequest<'_, Headers<'_>>, now: i64) -> Result<(), CloudSignatureError> {
    let presented = CloudPresented::parse(request)?;
    assert_eq!(presented.secret_id, ID);
    presented.verify(request, &Secret::new(KEY), now)
}

fn post<'a>(headers: &'a Headers<'a>, body: &'a str) -> CloudRequest<'a, Headers<'a>> {
    CloudRequest {
        method: "POST",
        raw_path: "/",
        raw_query: "",
        headers,
        host: HOST,
        body: body.as_bytes(),
        parameters: &[],
    }
}

#[test]
fn a_post_as_the_python_sdk_signs_it() {
    let authorization = authorization(POST_SIGNATURE);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("x-tc-timestamp", "1551113065"),
    ];
    let request = post(&headers, BODY);
    assert_eq!(CloudPresented::parse(&request).unwrap().service, Some("sts"));
    judged(&request, TIME).unwrap();
    judged(&request, TIME + 300).unwrap();
    judged(&request, TIME - 300).unwrap();
    for now in [TIME + 301, TIME - 301] {
        let expired = CloudSignatureError::Expired { timestamp: TIME, now };
        assert_eq!(judged(&request, now), Err(expired));
    }
    let Err(CloudSignatureError::Mismatch(explain)) = judged(&post(&headers, "{}"), TIME) else {
        panic!("another body has the same signature");
    };
    assert!(explain.string_to_sign.starts_with("TC3-HMAC-SHA256\n1551113065\n2019-02-25/sts/"));
    let elsewhere = CloudRequest { host: "cam.tencentcloudapi.com", ..post(&headers, BODY) };
    assert!(matches!(judged(&elsewhere, TIME), Err(CloudSignatureError::Mismatch(_))));
}

#[test]
fn a_get_signs_its_query_as_it_is_sent() {
    let authorization = authorization(GET_SIGNATURE);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-tc-timestamp", "1551113065"),
    ];
    let request = CloudRequest { method: "GET", raw_query: GET_QUERY, ..post(&headers, "") };
    judged(&request, TIME).unwrap();
    let sorted =
        "DurationSeconds=1800&Name=demo&Policy=%257B%2522version%2522%253A%25222.0%2522%257D";
    let request = CloudRequest { raw_query: sorted, ..request };
    assert!(matches!(judged(&request, TIME), Err(CloudSignatureError::Mismatch(_))));
}

#[test]
fn a_scope_of_another_day_is_none() {
    let authorization = authorization(POST_SIGNATURE);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("x-tc-timestamp", "1551199465"),
    ];
    let judged = judged(&post(&headers, BODY), TIME + 86_400);
    assert_eq!(judged, Err(CloudSignatureError::Malformed("Credential")));
}

/// Version 1: the form that the SDK sends and, with SHA-1 unnamed, the one of
/// qcloud-python-sts.
#[test]
fn version_1_signs_the_parameters() {
    let common = format!(
        "Name=demo&Policy=%257B%2522version%2522%253A%25222.0%2522%257D&DurationSeconds=1800\
         &Action=GetFederationToken&RequestClient=SDK_PYTHON_3.1.195&Version=2018-08-13\
         &Region=ap-guangzhou&SecretId={ID}&Language=zh-CN&Timestamp=1551113065&Nonce=12345"
    );
    let policy = "%257B%2522version%2522%253A%2520%25222.0%2522%252C%2520%2522statement%2522%253A\
                  %2520%255B%257B%2522action%2522%253A%2520%255B%2522name%2Fcos%253AGetObject%2522\
                  %255D%252C%2520%2522effect%2522%253A%2520%2522allow%2522%252C%2520%2522resource\
                  %2522%253A%2520%255B%2522qcs%253A%253Acos%253Aap-beijing%253Auid%2F1250000000\
                  %253Aexamplebucket-1250000000%2Fexampleobject%2522%255D%257D%255D%257D";
    let sts = format!(
        "Action=GetFederationToken&DurationSeconds=1800&Name=cos-sts-python&Nonce=123456\
         &Policy={policy}&Region=ap-beijing&SecretId={ID}&Timestamp=1700000000&Version=2018-08-13\
         &Signature=FWocBe%2FlkV4zAwRePtE8qiD2U6A%3D"
    );
    let sha1 =
        format!("{common}&SignatureMethod=HmacSHA1&Signature=VUDaF0rv6%2FQ8sKThezZ%2FDn%2Bmx1g%3D");
    let sha256 = format!(
        "{common}&SignatureMethod=HmacSHA256&Signature=CyP02ldetsdwMo1EDIxCJWd21KoXv9LsavmwQ72VM1U%3D"
    );
    for (method, form, now) in
        [("POST", &sha1, TIME), ("GET", &sha256, TIME), ("POST", &sts, 1_700_000_100)]
    {
        let parameters = parse_query(form).unwrap();
        let request = CloudRequest { method, parameters: &parameters, ..post(&[], "") };
        judged(&request, now).unwrap();
        let other = form.replace("GetFederationToken", "GetCallerIdentity");
        let parameters = parse_query(&other).unwrap();
        let request = CloudRequest { method, parameters: &parameters, ..post(&[], "") };
        assert!(matches!(judged(&request, now), Err(CloudSignatureError::Mismatch(_))));
    }
}

#[test]
fn what_is_no_signature_is_refused() {
    use CloudSignatureError::{Anonymous, Malformed, Missing};
    let judge = |authorization: &str, timestamp: &str| {
        let headers = [
            ("authorization", authorization),
            ("content-type", "application/json"),
            ("x-tc-timestamp", timestamp),
        ];
        let headers = headers.map(|(name, value)| (name, value));
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let request = post(&headers, BODY);
        CloudPresented::parse(&request)
            .and_then(|presented| presented.verify(&request, &Secret::new(KEY), TIME))
    };
    let good = authorization(POST_SIGNATURE);
    assert_eq!(judge("", ""), Err(Anonymous));
    assert_eq!(judge("SKIP", "1551113065"), Err(Anonymous));
    assert_eq!(judge(&good, ""), Err(Missing("X-TC-Timestamp")));
    assert_eq!(judge(&good, "yesterday"), Err(Malformed("X-TC-Timestamp")));
    assert_eq!(judge("TC3-HMAC-SHA256", "1551113065"), Err(Malformed("Authorization")));
    assert_eq!(judge("AWS4-HMAC-SHA256 Credential=a", "1"), Err(Malformed("Authorization")));
    let unscoped = good.replace("/tc3_request", "");
    assert_eq!(judge(&unscoped, "1551113065"), Err(Malformed("Credential")));
    let hostless = good.replace("content-type;host", "content-type");
    assert_eq!(judge(&hostless, "1551113065"), Err(Malformed("SignedHeaders")));
    let short = good.replace(POST_SIGNATURE, &POST_SIGNATURE[..63]);
    assert!(matches!(judge(&short, "1551113065"), Err(CloudSignatureError::Mismatch(_))));
}
