//! SigV2: the examples of the Amazon S3 user guide, and each rule.

mod support;

use costrel_signature::sign::{Identity, Outgoing, v2_header, v2_presign};
use costrel_signature::{Form, ParseError, VerifyError};
use support::{Refused, Wire};

const AK: &str = "AKIAIOSFODNN7EXAMPLE";
const SK: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "johnsmith.s3.amazonaws.com";
const MARCH_27: i64 = 1_174_953_600;

/// Seconds after midnight of 27 March 2007.
fn at(hour: i64, minute: i64, second: i64) -> i64 {
    MARCH_27 + hour * 3600 + minute * 60 + second
}

fn signed(wire: Wire, signature: &str) -> Wire {
    wire.bucket("johnsmith").header("Authorization", &format!("AWS {AK}:{signature}"))
}

#[test]
fn guide_examples() {
    let get = Wire::new("GET", HOST, "/photos/puppy.jpg")
        .header("Date", "Tue, 27 Mar 2007 19:36:42 +0000");
    let get = signed(get, "bWq2s1WEIj+Ydj0vQ697zp+IXMU=");
    assert_eq!(get.form(), Form::S3V2Header);
    get.verify(SK, at(19, 36, 42)).unwrap();
    get.assert_mismatch("another", at(19, 36, 42));

    let put = Wire::new("PUT", HOST, "/photos/puppy.jpg")
        .header("Content-Type", "image/jpeg")
        .header("Content-Length", "94328")
        .header("Date", "Tue, 27 Mar 2007 21:15:45 +0000");
    signed(put, "MyyxeRY7whkBe+bq8fHCL/2kKUg=").verify(SK, at(21, 15, 45)).unwrap();

    let list = Wire::new("GET", HOST, "/?prefix=photos&max-keys=50&marker=puppy")
        .header("User-Agent", "Mozilla/5.0")
        .header("Date", "Tue, 27 Mar 2007 19:42:41 +0000");
    signed(list, "htDYFYduRNen8P9ZfE/s9SuKy0U=").verify(SK, at(19, 42, 41)).unwrap();

    let acl = Wire::new("GET", HOST, "/?acl").header("Date", "Tue, 27 Mar 2007 19:44:46 +0000");
    signed(acl, "c2WLPFtWHVgbEmeEG93a4cG37dM=").verify(SK, at(19, 44, 46)).unwrap();
}

#[test]
fn guide_example_path_style_with_another_date() {
    // The client sends an x-amz-date besides the Date its library adds. The
    // guide prints a signature that does not follow from its own string to
    // sign; this is the one that does.
    let delete = Wire::new("DELETE", "s3.amazonaws.com", "/johnsmith/photos/puppy.jpg")
        .header("Date", "Tue, 27 Mar 2007 21:20:27 +0000")
        .header("x-amz-date", "Tue, 27 Mar 2007 21:20:26 +0000")
        .header("Authorization", &format!("AWS {AK}:R4dJ53KECjStyBO5iTBJZ4XVOaI="));
    delete.verify(SK, at(21, 20, 26)).unwrap();
}

#[test]
fn guide_example_upload_with_repeated_and_mixed_headers() {
    let put = Wire::new("PUT", "static.johnsmith.net:8080", "/db-backup.dat.gz")
        .bucket("static.johnsmith.net")
        .header("User-Agent", "curl/7.15.5")
        .header("Date", "Tue, 27 Mar 2007 21:06:08 +0000")
        .header("x-amz-acl", "public-read")
        .header("content-type", "application/x-download")
        .header("Content-MD5", "4gJE4saaMU4BqNR0kLY+lw==")
        .header("X-Amz-Meta-ReviewedBy", "joe@johnsmith.net")
        .header("X-Amz-Meta-ReviewedBy", "jane@johnsmith.net")
        .header("X-Amz-Meta-FileChecksum", "0x02661779")
        .header("X-Amz-Meta-ChecksumAlgorithm", "crc32")
        .header("Content-Disposition", "attachment; filename=database.dat")
        .header("Content-Encoding", "gzip")
        .header("Content-Length", "5913339")
        .header("Authorization", &format!("AWS {AK}:ilyl83RwaSoYIEdixDQcA4OnAnc="));
    put.verify(SK, at(21, 6, 8)).unwrap();
}

#[test]
fn guide_examples_of_the_service_and_of_unicode_keys() {
    let list = Wire::new("GET", "s3.amazonaws.com", "/")
        .header("Date", "Wed, 28 Mar 2007 01:29:59 +0000")
        .header("Authorization", &format!("AWS {AK}:qGdzdERIC03wnaRNKh6OqZehG9s="));
    list.verify(SK, at(25, 29, 59)).unwrap();
    // The path is signed as sent, mixed case of escapes and all.
    let get = Wire::new("GET", "s3.amazonaws.com", "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re")
        .header("Date", "Wed, 28 Mar 2007 01:49:49 +0000")
        .header("Authorization", &format!("AWS {AK}:DNEZGsoieTZ92F3bUfSPQcbGmlM="));
    get.verify(SK, at(25, 49, 49)).unwrap();
}

const PRESIGNED: &str = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE\
    &Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620";

#[test]
fn guide_example_presigned() {
    let wire = Wire::new("GET", HOST, PRESIGNED).bucket("johnsmith");
    assert_eq!(wire.form(), Form::S3V2Query);
    wire.verify(SK, 1_175_139_620).unwrap();
    let expired =
        VerifyError::Expired { expired_at: 1_175_139_620, now: 1_175_139_621, lifetime_s: None };
    assert_eq!(wire.verify(SK, 1_175_139_621), Err(Refused::Verify(expired)));
    // The plus of a base64 signature, left unescaped.
    let wire = Wire::new("GET", HOST, &PRESIGNED.replace("%2B", "+")).bucket("johnsmith");
    wire.verify(SK, 0).unwrap();
}

fn outgoing<'a>(
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, &'a str)],
) -> Outgoing<'a> {
    Outgoing {
        method: "GET",
        host: HOST,
        bucket_in_host: Some("johnsmith"),
        path: "/a b",
        query,
        headers,
    }
}

fn sent(request: &Outgoing<'_>, identity: &Identity) -> Wire {
    let mut wire = Wire::new(request.method, HOST, &request.target()).bucket("johnsmith");
    for (name, value) in request.headers {
        wire = wire.header(name, value);
    }
    for (name, value) in v2_header(identity, request, MARCH_27) {
        wire = wire.header(name, &value);
    }
    wire
}

#[test]
fn sub_resources_and_overrides_are_signed_with_decoded_values() {
    let query = [
        ("uploadId", "a+b/c="),
        ("partNumber", "1"),
        ("prefix", "p"),
        ("response-content-type", "text/x y"),
    ];
    let mut wire = sent(&outgoing(&query, &[]), &Identity::new(AK, SK));
    wire.verify(SK, MARCH_27).unwrap();
    assert_eq!(wire.parsed(|p| p.signs_parameter("response-content-type")), Ok(true));
    assert_eq!(wire.parsed(|p| p.signs_parameter("prefix")), Ok(false));
    wire.target = wire.target.replace("prefix=p", "prefix=q");
    wire.verify(SK, MARCH_27).unwrap();
    wire.target = wire.target.replace("partNumber=1", "partNumber=2");
    wire.assert_mismatch(SK, MARCH_27);
}

#[test]
fn the_bucket_of_the_host_is_signed() {
    let mut wire = sent(&outgoing(&[], &[]), &Identity::new(AK, SK));
    wire.verify(SK, MARCH_27).unwrap();
    wire.bucket = Some("other".into());
    wire.assert_mismatch(SK, MARCH_27);
}

#[test]
fn amz_headers_of_a_presigned_url_may_stand_in_its_query() {
    let identity = Identity::new(AK, SK).with_token("tok/en+==");
    let target = v2_presign(&identity, &outgoing(&[("acl", "")], &[]), MARCH_27 + 60);
    let wire = Wire::new("GET", HOST, &target).bucket("johnsmith");
    wire.verify(SK, MARCH_27).unwrap();
    assert_eq!(
        wire.parsed(|p| p.security_token().map(str::to_owned)),
        Ok(Some("tok/en+==".into()))
    );
    wire.header("x-amz-acl", "public-read").assert_mismatch(SK, MARCH_27);
}

#[test]
fn an_amz_date_goes_before_the_date_line() {
    let headers = [
        ("x-amz-date", "Tue, 27 Mar 2007 00:00:00 GMT"),
        ("x-amz-meta-b", "1"),
        ("X-Amz-Meta-A", "2"),
    ];
    let wire = sent(&outgoing(&[], &headers), &Identity::new(AK, SK));
    wire.verify(SK, MARCH_27).unwrap();
    wire.header("Date", "Sat, 01 Jan 2000 00:00:00 GMT").verify(SK, MARCH_27).unwrap();
}

#[test]
fn clocks_may_differ_by_fifteen_minutes() {
    let wire = sent(&outgoing(&[], &[]), &Identity::new(AK, SK));
    wire.verify(SK, MARCH_27 + 900).unwrap();
    let now = MARCH_27 + 901;
    let skewed = VerifyError::Skewed { request_time: MARCH_27, now, skew_s_max: 900 };
    assert_eq!(wire.verify(SK, now), Err(Refused::Verify(skewed)));
}

#[test]
fn what_is_missing_or_unreadable_is_named() {
    let wire = |value: &str| Wire::new("GET", HOST, "/").header("Authorization", value);
    let date = "Tue, 27 Mar 2007 00:00:00 GMT";
    let refused = |wire: Wire| match wire.verify(SK, MARCH_27) {
        Err(Refused::Parse(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(wire("AWS ak:sig")), ParseError::Missing("Date"));
    assert_eq!(
        refused(wire("AWS aksig").header("date", date)),
        ParseError::Malformed("Authorization")
    );
    assert_eq!(
        refused(wire("AWS :sig").header("date", date)),
        ParseError::Missing("AWSAccessKeyId")
    );
    assert_eq!(refused(wire("AWS ak:").header("date", date)), ParseError::Missing("Signature"));
    for value in ["now", "Tue, 07 Jul 1950 21:53:04 GMT"] {
        let bad = ParseError::BadTime { item: "Date", value: value.into() };
        assert_eq!(refused(wire("AWS ak:sig").header("date", value)), bad);
    }
    wire("AWS ak:***").header("date", date).assert_mismatch(SK, MARCH_27);
    for (target, item) in [
        ("/?AWSAccessKeyId=a&Signature=b", "Expires"),
        ("/?AWSAccessKeyId=a&Expires=1", "Signature"),
        ("/?Signature=a&Expires=1", "AWSAccessKeyId"),
    ] {
        assert_eq!(refused(Wire::new("GET", HOST, target)), ParseError::Missing(item));
    }
    let bad = ParseError::BadTime { item: "Expires", value: "soon".into() };
    assert_eq!(refused(Wire::new("GET", HOST, "/?AWSAccessKeyId=a&Signature=b&Expires=soon")), bad);
}
