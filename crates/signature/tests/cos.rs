//! COS request signatures: the vendor's examples, vectors of the official SDK
//! signers, and each habit of a client that a server has to know.

mod support;

use costrel_signature::sign::{Identity, Outgoing, cos_header, cos_presign};
use costrel_signature::{Form, ParseError, RequestView, Secret, Verifier, VerifyError, parse};
use support::{Refused, Wire};

const AK: &str = "AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q";
const SK: &str = "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz";
const HOST: &str = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com";
const START: i64 = 1_700_000_000;
const WINDOW: (i64, i64) = (START, START + 7200);

fn authorization(time: &str, headers: &str, parameters: &str, signature: &str) -> String {
    format!(
        "q-sign-algorithm=sha1&q-ak={AK}&q-sign-time={time}&q-key-time={time}\
         &q-header-list={headers}&q-url-param-list={parameters}&q-signature={signature}"
    )
}

fn outgoing<'a>(
    method: &'a str,
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, &'a str)],
) -> Outgoing<'a> {
    Outgoing { method, host: HOST, bucket_in_host: None, path, query, headers }
}

/// The authorization our signer makes for a request in [`WINDOW`].
fn signed(request: &Outgoing<'_>) -> String {
    let added = cos_header(&Identity::new(AK, SK), request, WINDOW);
    added.into_iter().find(|(name, _)| *name == "authorization").unwrap().1
}

#[test]
fn documentation_example_put_with_headers() {
    let list = "content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read";
    let signature = "3b8851a11a569213c17ba8fa7dcf2abec6935172";
    let request = Wire::new("PUT", HOST, "/exampleobject(%E8%85%BE%E8%AE%AF%E4%BA%91)")
        .header("Date", "Thu, 16 May 2019 06:45:51 GMT")
        .header("Content-Type", "text/plain")
        .header("Content-Length", "13")
        .header("Content-MD5", "mQ/fVh815F3k6TAUm8m0eg==")
        .header("x-cos-acl", "private")
        .header("x-cos-grant-read", "uin=\"100000000011\"")
        .header("Authorization", &authorization("1557989151;1557996351", list, "", signature));
    request.verify(SK, 1_557_989_200).unwrap();
    request.assert_mismatch("another", 1_557_989_200);
}

#[test]
fn documentation_example_get_with_parameters() {
    let list = "response-cache-control;response-content-type";
    let signature = "01681b8c9d798a678e43b685a9f1bba0f6c0e012";
    let request = Wire::new(
        "GET",
        HOST,
        "/exampleobject(%E8%85%BE%E8%AE%AF%E4%BA%91)\
         ?response-content-type=application%2Foctet-stream&response-cache-control=max-age%3D600",
    )
    .header("Date", "Thu, 16 May 2019 06:55:53 GMT")
    .header("Authorization", &authorization("1557989753;1557996953", "date;host", list, signature));
    request.verify(SK, 1_557_989_800).unwrap();
    assert_eq!(request.parsed(|p| p.signs_parameter("response-cache-control")), Ok(true));
    assert_eq!(request.parsed(|p| p.signs_parameter("response-expires")), Ok(false));
}

#[test]
fn vectors_of_the_python_and_node_signers() {
    let time = "1700000000;1700007200";
    let check = |request: Wire, headers: &str, parameters: &str, signature: &str| {
        let text = authorization(time, headers, parameters, signature);
        request.header("authorization", &text).verify(SK, START + 60).unwrap();
    };
    check(
        Wire::new("GET", HOST, "/?prefix=a%2Fb%20c!'()*~&max-keys=10&encoding-type=url")
            .header("Content-Type", "application/xml"),
        "content-type;host",
        "encoding-type;max-keys;prefix",
        "d45b409cb223d36cdcf3a56a107704c962561649",
    );
    check(
        Wire::new("PUT", HOST, "/folder/a%2Bb%20%E8%85%BE%E8%AE%AF.txt")
            .header("Content-Type", "text/plain")
            .header("x-cos-acl", "private")
            .header("x-cos-meta-Name", "A B+C"),
        "content-type;host;x-cos-acl;x-cos-meta-name",
        "",
        "6e041385485c19d174edb2e08f2a824405c41ded",
    );
    check(
        Wire::new("GET", HOST, "/exampleobject").header("x-cos-security-token", "TOKEN/abc+=="),
        "host;x-cos-security-token",
        "",
        "ea1801ab531a16d41a5846290c4ca6ef3d7e4f9a",
    );
    check(
        Wire::new("GET", HOST, "/exampleobject?response-content-disposition=attachment"),
        "host",
        "response-content-disposition",
        "ba535a603ebf21e44cf572480af3e17c655e9059",
    );
}

#[test]
fn our_signer_makes_the_same_authorization_as_the_official_ones() {
    let query = [("prefix", "a/b c!'()*~"), ("max-keys", "10"), ("encoding-type", "url")];
    let text = signed(&outgoing("GET", "/", &query, &[("Content-Type", "application/xml")]));
    let list = "encoding-type;max-keys;prefix";
    let signature = "d45b409cb223d36cdcf3a56a107704c962561649";
    assert_eq!(text, authorization("1700000000;1700007200", "content-type;host", list, signature));
}

/// A signed GET of `/a b` with parameter `prefix=x`, as header text.
fn sample() -> String {
    signed(&outgoing("GET", "/a b", &[("prefix", "x")], &[("x-cos-acl", "private")]))
}

fn sample_request(authorization: &str) -> Wire {
    Wire::new("GET", HOST, "/a%20b?prefix=x")
        .header("X-Cos-Acl", "private")
        .header("Authorization", authorization)
}

#[test]
fn items_come_in_any_order_and_unknown_ones_are_ignored() {
    let mut items: Vec<String> = sample().split('&').map(str::to_owned).collect();
    items.reverse();
    items.insert(2, "q-extra=1".into());
    items.push("flag".into());
    sample_request(&items.join("&")).verify(SK, START).unwrap();
}

#[test]
fn lists_may_be_unsorted_and_name_things_twice() {
    let request = outgoing("GET", "/a b", &[("prefix", "x")], &[("x-cos-acl", "private")]);
    let text = signed(&request)
        .replace("host;x-cos-acl", "x-cos-acl;host;x-cos-acl")
        .replace("q-url-param-list=prefix", "q-url-param-list=prefix;prefix");
    sample_request(&text).verify(SK, START).unwrap();
}

#[test]
fn separators_may_arrive_raw_or_escaped_in_header_and_query() {
    let text = sample();
    for escape in ["%3B", "%3b"] {
        sample_request(&text.replace(';', escape)).verify(SK, START).unwrap();
    }
    // A presigned URL: raw, escaped once, and (Node's asynchronous getObjectUrl)
    // with lower-case escapes.
    for separator in [";", "%3B", "%3b", "%253B"] {
        let query = text.replace(';', separator);
        let target = format!("/a%20b?{query}&prefix=x");
        let request = Wire::new("GET", HOST, &target).header("x-cos-acl", "private");
        assert_eq!(request.form(), Form::CosQuery);
        request.verify(SK, START).unwrap_or_else(|why| panic!("{separator}: {why:?}"));
    }
}

#[test]
fn the_merged_sign_parameter() {
    let request = outgoing("GET", "/a b", &[("prefix", "x")], &[]);
    let target = cos_presign(&Identity::new(AK, SK), &request, WINDOW, true);
    assert!(target.starts_with("/a%20b?prefix=x&sign=q-sign-algorithm%3Dsha1%26"), "{target}");
    let wire = Wire::new("GET", HOST, &target);
    assert_eq!(wire.form(), Form::CosMerged);
    wire.verify(SK, START).unwrap();
    wire.assert_mismatch("wrong", START);
    // A parameter that merely has this name is no signature.
    assert_eq!(Wire::new("GET", HOST, "/?sign=yes").form(), Form::Anonymous);
}

#[test]
fn the_header_wins_over_the_query() {
    let query = sample().replace(&sample()[sample().len() - 40..], &"0".repeat(40));
    let mut request = sample_request(&sample());
    request.target = format!("/a%20b?prefix=x&{query}");
    assert_eq!(request.form(), Form::CosHeader);
    request.verify(SK, START).unwrap();
}

#[test]
fn an_empty_authorization_is_no_authorization() {
    for value in ["", "  "] {
        let request = Wire::new("GET", HOST, "/").header("Authorization", value);
        assert_eq!(request.form(), Form::Anonymous);
        assert_eq!(request.verify(SK, START), Err(Refused::Verify(VerifyError::Anonymous)));
    }
}

#[test]
fn the_host_may_be_signed_without_port_and_in_lower_case() {
    let text = sample();
    let mut request = sample_request(&text);
    request.host = format!("{HOST}:9000");
    request.verify(SK, START).unwrap();
    request.host = format!("{}:443", HOST.to_uppercase());
    request.verify(SK, START).unwrap();
    request.host = "other.example.com:9000".into();
    request.assert_mismatch(SK, START);
}

#[test]
fn the_host_may_be_signed_with_its_port() {
    let host = format!("{HOST}:9000");
    let request = Outgoing { host: &host, ..outgoing("GET", "/k", &[], &[]) };
    let text = signed(&request);
    Wire::new("GET", &host, "/k").header("authorization", &text).verify(SK, START).unwrap();
    Wire::new("GET", HOST, "/k").header("authorization", &text).assert_mismatch(SK, START);
}

#[test]
fn the_host_need_not_be_signed() {
    let text = authorization("1700000000;1700007200", "", "", "");
    let request = Wire::new("GET", HOST, "/k");
    let explain = match request
        .clone()
        .header("authorization", &format!("{text}{:040}", 0))
        .full(SK, START)
    {
        Err(Refused::Verify(VerifyError::Mismatch(explain))) => explain,
        _ => panic!("must be a mismatch"),
    };
    assert_eq!(explain.canonical_request, "get\n/k\n\n\n");
}

#[test]
fn the_path_is_decoded_exactly_once() {
    for (path, wire) in [
        ("/a%2Fb", "/a%252Fb"),
        ("/a/b", "/a%2Fb"),
        ("/a+b", "/a+b"),
        ("/./x/../y", "/.%2Fx/../y"),
        ("/腾讯", "/%e8%85%be%E8%AE%AF"),
        ("/a//b/", "/a//b/"),
    ] {
        let text = signed(&outgoing("GET", path, &[], &[]));
        Wire::new("GET", HOST, wire).header("authorization", &text).verify(SK, START).unwrap();
    }
    let text = signed(&outgoing("GET", "/a b", &[], &[]));
    Wire::new("GET", HOST, "/a+b").header("authorization", &text).assert_mismatch(SK, START);
}

#[test]
fn a_doubled_leading_slash_may_be_signed_as_one() {
    for signed_path in ["//key", "/key"] {
        let text = signed(&outgoing("GET", signed_path, &[], &[]));
        for wire in ["//key", "/%2Fkey"] {
            Wire::new("GET", HOST, wire).header("authorization", &text).verify(SK, START).unwrap();
        }
    }
    // But a key with one slash is not one with two.
    let text = signed(&outgoing("GET", "//key", &[], &[]));
    Wire::new("GET", HOST, "/key").header("authorization", &text).assert_mismatch(SK, START);
}

#[test]
fn repeated_parameters_are_sorted_by_value_under_one_name() {
    let query = [("tag", "b"), ("x", "1"), ("tag", "a"), ("TAG", "c")];
    let text = signed(&outgoing("GET", "/", &query, &[]));
    assert!(text.contains("q-url-param-list=tag;x&"), "{text}");
    for target in ["/?tag=b&x=1&tag=a&TAG=c", "/?tag=a&TAG=c&tag=b&x=1"] {
        Wire::new("GET", HOST, target).header("authorization", &text).verify(SK, START).unwrap();
    }
    // The Go SDK also names it twice in the list.
    let text = text.replace("=tag;x&", "=tag;tag;x&");
    let wire = Wire::new("GET", HOST, "/?tag=b&x=1&tag=a&TAG=c");
    wire.header("authorization", &text).verify(SK, START).unwrap();
}

#[test]
fn names_are_encoded_then_lowered() {
    let query = [("Filter/Name", "V/w"), ("acl", "")];
    let text = signed(&outgoing("GET", "/", &query, &[]));
    assert!(text.contains("q-url-param-list=acl;filter%2fname&"), "{text}");
    let wire = Wire::new("GET", HOST, "/?acl&Filter%2FName=V%2Fw");
    wire.clone().header("authorization", &text).verify(SK, START).unwrap();
    let upper = text.replace("filter%2fname", "Filter%2FName");
    wire.header("authorization", &upper).verify(SK, START).unwrap();
}

#[test]
fn a_plus_in_the_query_is_a_space() {
    let text = signed(&outgoing("GET", "/", &[("prefix", "a b")], &[]));
    for target in ["/?prefix=a+b", "/?prefix=a%20b"] {
        Wire::new("GET", HOST, target).header("authorization", &text).verify(SK, START).unwrap();
    }
    let wire = Wire::new("GET", HOST, "/?prefix=a%2Bb");
    wire.header("authorization", &text).assert_mismatch(SK, START);
}

#[test]
fn header_values_are_signed_as_sent() {
    let text = signed(&outgoing("PUT", "/k", &[], &[("x-cos-meta-a", "two  spaces")]));
    let wire = |value: &str| {
        let wire = Wire::new("PUT", HOST, "/k").header("X-Cos-Meta-A", value);
        wire.header("authorization", &text)
    };
    wire("two  spaces").verify(SK, START).unwrap();
    wire("two spaces").assert_mismatch(SK, START);
}

#[test]
fn a_header_map_serves_as_it_is_and_latin_1_values_are_read_as_text() {
    // A client signs `é` as UTF-8; its HTTP library may send Latin-1.
    let text = signed(&outgoing("PUT", "/k", &[], &[("x-cos-meta-a", "é")]));
    for value in ["é".as_bytes(), b"\xe9"] {
        let mut headers = http::HeaderMap::new();
        headers.insert("X-Cos-Meta-A", http::HeaderValue::from_bytes(value).unwrap());
        headers.insert("Authorization", text.parse().unwrap());
        let view = RequestView {
            method: "PUT",
            raw_path: "/k",
            query: &[],
            headers: &headers,
            host: HOST,
            bucket_in_host: None,
        };
        let presented = parse(&view).unwrap();
        let verified = Verifier::default().verify(&presented, &view, &Secret::new(SK), START);
        assert!(verified.is_ok(), "{value:?}");
    }
}

#[test]
fn a_listed_name_that_the_request_lacks_is_a_mismatch_and_named() {
    let text = sample();
    let wire = Wire::new("GET", HOST, "/a%20b").header("authorization", &text);
    match wire.full(SK, START) {
        Err(Refused::Verify(VerifyError::Mismatch(explain))) => {
            assert_eq!(explain.missing, ["prefix", "x-cos-acl"]);
        }
        _ => panic!("must be a mismatch"),
    }
    // Nor does an unlisted parameter take part.
    let mut wire = sample_request(&text);
    wire.target = "/a%20b?prefix=x&more=1".into();
    wire.verify(SK, START).unwrap();
}

#[test]
fn either_time_may_be_in_the_string_to_sign() {
    // Both windows open, unequal: the Node SDK signs the text of q-sign-time,
    // the Go SDK that of q-key-time. The key always comes from q-key-time.
    // Signatures by independent computation (Python hmac/hashlib).
    let (sign_time, key_time) = ("1700000000;1700007200", "1699999999;1700007200");
    for signature in
        ["9b6b4cac66a24095e7d2e7031ffe92702e138c96", "cfb38344af0e6df19d07f44ab6e723bbd7848ca7"]
    {
        let text = format!(
            "q-sign-algorithm=sha1&q-ak={AK}&q-sign-time={sign_time}&q-key-time={key_time}\
             &q-header-list=&q-url-param-list=&q-signature={signature}"
        );
        Wire::new("GET", HOST, "/k").header("authorization", &text).verify(SK, START).unwrap();
    }
}

#[test]
fn windows_last_as_long_as_their_maker_wants() {
    let fifty_years = (START, START + 50 * 365 * 86_400);
    assert!(fifty_years.1 > i64::from(u32::MAX >> 1));
    let request = outgoing("GET", "/k", &[], &[]);
    let target = cos_presign(&Identity::new(AK, SK), &request, fifty_years, false);
    let wire = Wire::new("GET", HOST, &target);
    wire.verify(SK, START).unwrap();
    wire.verify(SK, fifty_years.1).unwrap();
    let expired = VerifyError::Expired {
        expired_at: fifty_years.1,
        now: fifty_years.1 + 1,
        lifetime_s: None,
    };
    assert_eq!(wire.verify(SK, fifty_years.1 + 1), Err(Refused::Verify(expired)));
}

#[test]
fn a_window_may_open_as_much_later_as_clocks_may_differ() {
    let wire = sample_request(&sample());
    wire.verify(SK, START - 900).unwrap();
    let early = VerifyError::NotYetValid { valid_from: START, now: START - 901 };
    assert_eq!(wire.verify(SK, START - 901), Err(Refused::Verify(early)));
    // Time is judged before the signature.
    let expired = sample_request(&sample()).verify("wrong", WINDOW.1 + 1);
    assert!(matches!(expired, Err(Refused::Verify(VerifyError::Expired { .. }))));
}

#[test]
fn the_token_is_found_in_header_or_query() {
    let identity = Identity::new(AK, SK).with_token("tok/en+==");
    let request = outgoing("GET", "/k", &[], &[]);
    let target = cos_presign(&identity, &request, WINDOW, false);
    let wire = Wire::new("GET", HOST, &target);
    wire.verify(SK, START).unwrap();
    assert_eq!(
        wire.parsed(|p| p.security_token().map(str::to_owned)),
        Ok(Some("tok/en+==".into()))
    );
    let mut wire = Wire::new("GET", HOST, "/k");
    for (name, value) in cos_header(&identity, &request, WINDOW) {
        wire = wire.header(name, &value);
    }
    wire.verify(SK, START).unwrap();
    assert_eq!(wire.parsed(|p| p.signs_header("x-cos-security-token")), Ok(true));
    // A plus that a client forgot to escape in the query.
    let wire = Wire::new("GET", HOST, &target.replace("%2B", "+"));
    assert_eq!(
        wire.parsed(|p| p.security_token().map(str::to_owned)),
        Ok(Some("tok/en+==".into()))
    );
}

#[test]
fn what_is_missing_or_unreadable_is_named() {
    let text = sample();
    for item in
        ["q-ak", "q-sign-time", "q-key-time", "q-header-list", "q-url-param-list", "q-signature"]
    {
        let without: Vec<&str> =
            text.split('&').filter(|piece| !piece.starts_with(&format!("{item}="))).collect();
        let refused = sample_request(&without.join("&")).verify(SK, START);
        assert_eq!(refused, Err(Refused::Parse(ParseError::Missing(item))));
    }
    let md5 = sample_request(&text.replace("=sha1", "=md5")).verify(SK, START);
    assert_eq!(md5, Err(Refused::Parse(ParseError::UnsupportedAlgorithm("md5".into()))));
    for time in ["1", "2;1", "a;b", ";", "1;", "-1;2", "1;+2", "1;99999999999999999999", "%zz;1"] {
        let text = text.replace("1700000000;1700007200", time);
        let refused = sample_request(&text).verify(SK, START);
        let Err(Refused::Parse(ParseError::BadTime { item: "q-sign-time", .. })) = refused else {
            panic!("{time}: {refused:?}");
        };
    }
    let bad_list = text.replace("=prefix&", "=pre%fix&");
    let refused = sample_request(&bad_list).verify(SK, START);
    assert_eq!(refused, Err(Refused::Parse(ParseError::Malformed("q-url-param-list"))));
    for value in ["Bearer abc", "Basic eDp5", "foo"] {
        let refused = sample_request(value).verify(SK, START);
        assert_eq!(refused, Err(Refused::Parse(ParseError::UnknownScheme)));
    }
    let twice = sample_request(&text).header("authorization", &text).verify(SK, START);
    assert_eq!(twice, Err(Refused::Parse(ParseError::SeveralMechanisms)));
    let mut wire = sample_request(&text);
    wire.target = "/%zz?prefix=x".into();
    assert!(matches!(wire.verify(SK, START), Err(Refused::Verify(VerifyError::Path(_)))));
}

#[test]
fn a_signature_that_is_no_hash_is_a_mismatch() {
    let text = sample();
    let good = &text[text.len() - 40..];
    for bad in
        ["x", &good[..39], &format!("{good}0"), &good.replace(|c: char| c.is_ascii_digit(), "g")]
    {
        sample_request(&text.replace(good, bad)).assert_mismatch(SK, START);
    }
}

#[test]
fn method_and_path_and_values_are_covered() {
    let good = sample_request(&sample());
    let changed = |change: fn(&mut Wire)| {
        let mut wire = good.clone();
        change(&mut wire);
        wire.assert_mismatch(SK, START);
    };
    changed(|wire| wire.method = "DELETE".into());
    changed(|wire| wire.target = "/a%20c?prefix=x".into());
    changed(|wire| wire.target = "/a%20b?prefix=y".into());
    changed(|wire| wire.target = "/a%20b?prefix=x&prefix=y".into());
    changed(|wire| wire.headers[0].1 = "public-read".into());
    changed(|wire| wire.host = "elsewhere".into());
    good.verify(SK, START).unwrap();
}
