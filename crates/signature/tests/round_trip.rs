//! Random requests through every signer and the verifier, and random damage.
//!
//! The seed is printed; `COSTREL_SEED=n` replays a run.

mod support;

use costrel_signature::sign::{
    Identity, Outgoing, SignedHeaders, cos_header, cos_presign, v2_header, v2_presign, v4_header,
    v4_presign,
};
use costrel_signature::{Form, Payload, fuzz};
use rand::prelude::*;
use rand::rngs::StdRng;
use support::Wire;

const NOW: i64 = 1_700_000_000;
const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "secret/with+chars=";

fn rng() -> StdRng {
    let seed = match std::env::var("COSTREL_SEED") {
        Ok(text) => text.parse().expect("COSTREL_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("COSTREL_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Text that makes encoders work: reserved characters, escapes, other scripts.
fn odd_text(rng: &mut StdRng, length_max: usize) -> String {
    const ALPHABET: &[char] = &[
        'a', 'Z', '0', '-', '_', '.', '~', '/', ' ', '+', '%', '&', '=', ';', ',', ':', '@', '!',
        '\'', '(', ')', '*', '"', '#', '?', '$', '|', '<', '腾', 'é', '😀',
    ];
    let length = rng.random_range(0..=length_max);
    (0..length).map(|_| *ALPHABET.choose(rng).unwrap()).collect()
}

/// A header value: no blanks at its ends, where transports strip them.
fn header_value(rng: &mut StdRng) -> String {
    odd_text(rng, 20).trim().to_owned()
}

const FORMS: [Form; 7] = [
    Form::CosHeader,
    Form::CosQuery,
    Form::CosMerged,
    Form::S3V4Header,
    Form::S3V4Query,
    Form::S3V2Header,
    Form::S3V2Query,
];

/// Signs as `form` and answers what goes over the wire.
fn send(form: Form, identity: &Identity, request: &Outgoing<'_>) -> Wire {
    let window = (NOW - 60, NOW + 600);
    let (added, target) = match form {
        Form::CosHeader => (cos_header(identity, request, window), request.target()),
        Form::CosQuery => (vec![], cos_presign(identity, request, window, false)),
        Form::CosMerged => (vec![], cos_presign(identity, request, window, true)),
        Form::S3V4Header => {
            let payload = Payload::Sha256([3; 32]);
            (v4_header(identity, request, "ap-x", payload, NOW), request.target())
        }
        Form::S3V4Query => (vec![], v4_presign(identity, request, "ap-x", 600, NOW)),
        Form::S3V2Header => (v2_header(identity, request, NOW), request.target()),
        Form::S3V2Query => (vec![], v2_presign(identity, request, NOW + 600)),
        Form::Anonymous | Form::Unknown => (SignedHeaders::new(), request.target()),
    };
    let mut wire = Wire::new(request.method, request.host, &target);
    wire.bucket = request.bucket_in_host.map(str::to_owned);
    for (name, value) in request.headers {
        wire = wire.header(name, value);
    }
    for (name, value) in added {
        wire = wire.header(name, &value);
    }
    wire
}

#[test]
fn what_the_signers_make_the_verifier_takes() {
    let mut rng = rng();
    for round in 0..3_000 {
        let form = *FORMS.choose(&mut rng).unwrap();
        let path = format!("/{}", odd_text(&mut rng, 40));
        let query: Vec<(String, String)> = (0..rng.random_range(0..6))
            .map(|_| {
                let known = ["acl", "prefix", "uploadId", "X-Case", "versionId"];
                let name = match rng.random_bool(0.7) {
                    true => (*known.choose(&mut rng).unwrap()).to_owned(),
                    false => format!("n{}", odd_text(&mut rng, 8)),
                };
                (name, odd_text(&mut rng, 20))
            })
            .collect();
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let prefix = if form.is_cos() { "x-cos-meta-" } else { "x-amz-meta-" };
        let mut headers = vec![("Content-Type".to_owned(), header_value(&mut rng))];
        for index in 0..rng.random_range(0..4) {
            headers.push((format!("{prefix}N{index}"), header_value(&mut rng)));
        }
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut identity = Identity::new(KEY, SECRET);
        if rng.random_bool(0.3) {
            identity = identity.with_token("to/ken+==");
        }
        let request = Outgoing {
            method: ["GET", "PUT", "POST", "DELETE", "HEAD"].choose(&mut rng).unwrap(),
            host: ["bucket.example.com", "Bucket.Example.com:9000"].choose(&mut rng).unwrap(),
            bucket_in_host: Some("bucket"),
            path: &path,
            query: &query,
            headers: &headers,
        };
        let wire = send(form, &identity, &request);
        assert_eq!(wire.form(), form, "round {round}");
        wire.verify(SECRET, NOW).unwrap_or_else(|why| panic!("round {round}: {wire:#?}\n{why:#?}"));
        let key = wire.parsed(|presented| presented.access_key_id().map(str::to_owned));
        assert_eq!(key, Ok(Some(KEY.to_owned())));
        wire.assert_mismatch("other", NOW);
    }
}

#[test]
fn damaged_requests_never_panic_and_never_verify_with_another_key() {
    let mut rng = rng();
    let headers = [("x-amz-meta-a", "b"), ("content-type", "text/plain")];
    let request = Outgoing {
        method: "PUT",
        host: "bucket.example.com",
        bucket_in_host: Some("bucket"),
        path: "/a b/腾讯",
        query: &[("uploadId", "x/y"), ("partNumber", "1")],
        headers: &headers,
    };
    let identity = Identity::new(KEY, SECRET).with_token("token");
    for _ in 0..20_000 {
        let wire = send(*FORMS.choose(&mut rng).unwrap(), &identity, &request);
        let mut text = format!("{} {}\n{}\n", wire.method, wire.target, wire.host).into_bytes();
        for (name, value) in &wire.headers {
            text.extend_from_slice(format!("{name}:{value}\n").as_bytes());
        }
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..text.len());
            match rng.random_range(0..4) {
                0 => text[at] = rng.random(),
                1 if text.len() > 1 => drop(text.remove(at)),
                2 => text.insert(at, *b"%;&=/,: \n\xff".choose(&mut rng).unwrap()),
                _ => text.truncate(at.max(1)),
            }
        }
        fuzz::request(&text);
    }
}

#[test]
fn damaged_forms_policies_and_times_never_panic() {
    let mut rng = rng();
    let policy = br#"{"expiration":"2030-01-01T00:00:00.000Z","conditions":[{"bucket":"b"},["starts-with","$key",""],["content-length-range",0,"10"],{"q-ak":"x"}]}"#;
    let time = b"Sunday, 06-Nov-94 08:49:37 +0000 2015-12-30T12:00:00.123+01:00";
    let form = b"policy=eyJleHBpcmF0aW9uIjoiIn0=\nx-amz-algorithm=AWS4-HMAC-SHA256\nx-amz-credential=a/20130524/r/s3/aws4_request\nx-amz-date=20130524T000000Z\nx-amz-signature=00";
    for _ in 0..20_000 {
        for (run, seed) in [
            (fuzz::policy as fn(&[u8]), &policy[..]),
            (fuzz::times, &time[..33]),
            (fuzz::times, &time[33..]),
            (fuzz::post, form),
        ] {
            let mut text = seed.to_vec();
            for _ in 0..rng.random_range(0..4) {
                let at = rng.random_range(0..text.len());
                text[at] = rng.random();
            }
            run(&text);
        }
    }
}
