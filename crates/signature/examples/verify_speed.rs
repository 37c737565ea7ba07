//! Nanoseconds per verification and per signature, on one thread.
//!
//! `cargo run --release -p costrel-signature --example verify_speed`

use std::hint::black_box;
use std::time::Instant;

use costrel_signature::encode::parse_query;
use costrel_signature::sign::{
    Identity, Outgoing, SignedHeaders, cos_header, v2_header, v4_chunked, v4_header,
};
use costrel_signature::{Payload, RequestView, Secret, Verifier, parse};
use http::{HeaderMap, HeaderName, HeaderValue};

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "bucket-1250000000.cos.ap-beijing.myqcloud.com";
const EMPTY: Payload = Payload::Sha256([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

fn main() {
    let identity = Identity::new("AKIAIOSFODNN7EXAMPLE", SECRET);
    let request = Outgoing {
        method: "GET",
        host: HOST,
        bucket_in_host: Some("bucket-1250000000"),
        path: "/folder/object-000123",
        query: &[],
        headers: &[],
    };
    let window = (NOW, NOW + 3600);
    verify("SigV4 header", &request, v4_header(&identity, &request, "ap-beijing", EMPTY, NOW));
    verify("COS header, known key-time", &request, cos_header(&identity, &request, window));
    verify("SigV2 header", &request, v2_header(&identity, &request, NOW));

    measure("sign SigV4 header", || v4_header(&identity, &request, "ap-beijing", EMPTY, NOW));
    measure("sign COS header", || cos_header(&identity, &request, window));
    let mut start = NOW;
    measure("sign COS header, new key-time", || {
        start += 1;
        cos_header(&identity, &request, (start, start + 3600))
    });
    let mut chunks = v4_chunked(&identity, &request, "ap-beijing", false, NOW).1;
    measure("sign a chunk, without its hash", || chunks.chunk(&[7; 32]));
}

fn verify(name: &str, request: &Outgoing<'_>, added: SignedHeaders) {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static(HOST));
    headers.insert("user-agent", HeaderValue::from_static("example/1.0"));
    headers.insert("accept", HeaderValue::from_static("*/*"));
    for (name, value) in added {
        let value = HeaderValue::try_from(value).expect("a signed header is a header");
        headers.insert(HeaderName::from_static(name), value);
    }
    let (verifier, secret) = (Verifier::default(), Secret::new(SECRET));
    let target = request.target();
    measure(&format!("verify {name}"), || {
        let query = parse_query("").expect("nothing to decode");
        let view = RequestView {
            method: request.method,
            raw_path: &target,
            query: &query,
            headers: &headers,
            host: HOST,
            bucket_in_host: request.bucket_in_host,
        };
        let presented = parse(&view).expect("well formed");
        verifier.verify(&presented, &view, &secret, NOW).is_ok()
    });
}

/// The best of several rounds: the machine's other work only ever adds time.
fn measure<R>(name: &str, mut operation: impl FnMut() -> R) {
    const REPEATS: u32 = 20_000;
    let best = (0..15)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..REPEATS {
                black_box(operation());
            }
            start.elapsed().as_nanos() / u128::from(REPEATS)
        })
        .min();
    println!("{:>8} ns  {name}", best.unwrap_or_default());
}
