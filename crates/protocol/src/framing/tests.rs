use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Signs like this: the hexadecimal hash of what is signed and all before it.
#[derive(Clone, Default)]
struct Chain(Arc<Mutex<Vec<u8>>>);

impl Chain {
    fn sign(&self, kind: u8, sha256: &[u8; 32]) -> String {
        let mut past = self.0.lock().unwrap();
        past.push(kind);
        past.extend_from_slice(sha256);
        hex(ring::digest::digest(&SHA256, &past).as_ref())
    }
}

impl ChunkCheck for Chain {
    fn chunk(&mut self, sha256: &[u8; 32], presented: &str) -> bool {
        self.sign(b'c', sha256) == presented
    }

    fn trailer(&mut self, sha256: &[u8; 32], presented: &str) -> bool {
        self.sign(b't', sha256) == presented
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn sha256(data: &[u8]) -> [u8; 32] {
    ring::digest::digest(&SHA256, data).as_ref().try_into().unwrap()
}

/// Frames data as clients do.
fn framed(chunks: &[&[u8]], signed: bool, trailers: &[(&str, &str)]) -> Vec<u8> {
    let chain = Chain::default();
    let mut body = Vec::new();
    let all = chunks.iter().copied().filter(|chunk| !chunk.is_empty()).chain([&b""[..]]);
    for chunk in all {
        body.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
        if signed {
            let signature = chain.sign(b'c', &sha256(chunk));
            body.extend_from_slice(format!(";chunk-signature={signature}").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        if !chunk.is_empty() {
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
    }
    let mut canonical = String::new();
    for (name, value) in trailers {
        body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    if signed && !trailers.is_empty() {
        let signature = chain.sign(b't', &sha256(canonical.as_bytes()));
        body.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}

type Decoded = Result<(Vec<u8>, Vec<Trailer>), FramingError>;

fn decode(pieces: &[&[u8]], declared: u64, signed: bool, trailers: Option<&[&str]>) -> Decoded {
    let check = signed.then(|| Box::new(Chain::default()) as Box<dyn ChunkCheck>);
    let names = trailers.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let mut decoder = AwsChunked::new(declared, check, names);
    let mut out = Vec::new();
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece), &mut out)?;
    }
    let trailers = decoder.finish()?;
    Ok((out.concat(), trailers))
}

#[test]
fn the_four_forms() {
    let data: &[&[u8]] = &[b"hello ", b"world\r\n0\r\n"];
    let crc: &[(&str, &str)] = &[("x-amz-checksum-crc32c", "sOO8/Q==")];
    let flat = data.concat();
    for signed in [false, true] {
        let plain = framed(data, signed, &[]);
        let got = decode(&[&plain], flat.len() as u64, signed, None).unwrap();
        assert_eq!(got, (flat.clone(), vec![]));

        let body = framed(data, signed, crc);
        let names: &[&str] = &["X-Amz-Checksum-Crc32c"];
        let (bytes, trailers) = decode(&[&body], flat.len() as u64, signed, Some(names)).unwrap();
        assert_eq!(bytes, flat);
        assert_eq!(trailers, [("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())]);

        let empty = framed(&[], signed, crc);
        assert_eq!(decode(&[&empty], 0, signed, Some(names)).unwrap().0, b"");
    }
}

#[test]
fn random_splits_change_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..500 {
        let chunks: Vec<Vec<u8>> = (0..rng.random_range(0..5))
            .map(|_| {
                (0..rng.random_range(0..40))
                    .map(|_| *b"\r\n0;a".get(rng.random_range(0..5)).unwrap())
                    .collect()
            })
            .collect();
        let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let flat = slices.concat();
        let signed = rng.random();
        let names: &[&str] = &["x-amz-checksum-sha1", "x-amz-checksum-crc32"];
        let trailers: Vec<(&str, &str)> = if rng.random() {
            vec![("x-amz-checksum-crc32", "AA=="), ("x-amz-checksum-sha1", "BB")]
        } else {
            vec![]
        };
        let announced = (!trailers.is_empty()).then_some(names);
        let body = framed(&slices, signed, &trailers);

        let mut pieces = Vec::new();
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rng.random_range(0..=rest.len().min(17)));
            pieces.push(piece);
            rest = tail;
        }
        let (bytes, got) = decode(&pieces, flat.len() as u64, signed, announced).unwrap();
        assert_eq!(bytes, flat);
        assert_eq!(got.len(), trailers.len());

        // Any cut before the last line break is noticed.
        let cut = rng.random_range(0..body.len() - 2);
        let whole = decode(&[&body[..cut]], flat.len() as u64, signed, announced);
        assert!(whole.is_err(), "cut at {cut} of {}", body.len());

        // Any change of a signed body is noticed, or changes no data.
        let mut damaged = body.clone();
        let at = rng.random_range(0..damaged.len());
        damaged[at] ^= 1 << rng.random_range(0..8);
        if let Ok((bytes, got)) = decode(&[&damaged], flat.len() as u64, signed, announced) {
            assert!(!signed || (bytes == flat && got.len() == trailers.len()), "at {at}");
        }
    }
}

#[test]
fn data_is_passed_on_as_it_arrives_and_not_copied() {
    let body = Bytes::from(framed(&[&[7; 1000]], false, &[]));
    let mut decoder = AwsChunked::new(1000, None, None);
    let mut out = Vec::new();
    decoder.feed(body.slice(..500), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), body[5..].as_ptr());
    decoder.feed(body.slice(500..), &mut out).unwrap();
    assert_eq!(out.concat().len(), 1000);
    assert_eq!(decoder.finish(), Ok(vec![]));
}

#[test]
fn what_is_wrong_is_named() {
    use FramingError::{Incomplete, LengthMismatch, Malformed, SignatureMismatch, TrailerMismatch};
    let unsigned = |body: &str, declared| decode(&[body.as_bytes()], declared, false, None);
    assert_eq!(unsigned("3\r\nabc\r\n0\r\n", 3).unwrap().0, b"abc");
    assert_eq!(unsigned("3;x=y\r\nabc\r\n0\r\n\r\n", 3).unwrap().0, b"abc");
    let short = LengthMismatch { declared: 4, received: 3 };
    assert_eq!(unsigned("3\r\nabc\r\n0\r\n\r\n", 4), Err(short));
    let long = LengthMismatch { declared: 2, received: 3 };
    assert_eq!(unsigned("3\r\nabc\r\n0\r\n\r\n", 2), Err(long));
    let huge = LengthMismatch { declared: 2, received: u64::MAX };
    assert_eq!(unsigned("1\r\na\r\nffffffffffffffff\r\n", 2), Err(huge));
    for body in ["", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0", "3"] {
        assert_eq!(unsigned(body, 3), Err(Incomplete), "{body:?}");
    }
    for body in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+3\r\nabc\r\n",
        "10000000000000000\r\n",
        "3\nabc\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n0\r\n",
        "0\r\n\r\nmore",
        "\u{e9}\r\n",
    ] {
        let got = unsigned(body, if body.starts_with('0') { 0 } else { 3 });
        assert!(matches!(got, Err(Malformed(_))), "{body:?} {got:?}");
    }
    let endless = "0".repeat(CHUNK_LINE_BYTES_MAX + 1);
    assert_eq!(unsigned(&endless, 3), Err(Malformed("a line is too long")));

    let missing = decode(&[b"3\r\nabc\r\n0\r\n\r\n"], 3, true, None);
    assert_eq!(missing, Err(Malformed("a chunk without its signature")));
    let wrong = "3;chunk-signature=00\r\nabc\r\n0;chunk-signature=00\r\n\r\n";
    assert_eq!(decode(&[wrong.as_bytes()], 3, true, None), Err(SignatureMismatch));

    let trailers = |tail: &str, names: &[&str]| {
        let body = format!("0\r\n{tail}");
        decode(&[body.as_bytes()], 0, false, Some(names)).map(|(_, trailers)| trailers.len())
    };
    assert_eq!(trailers("a:1\r\nB : 2\r\n\r\n", &["b", "a"]), Ok(2));
    assert_eq!(trailers("a:1\n\r\n", &["a"]), Ok(1));
    assert_eq!(trailers("a:1\r\n", &["a"]), Ok(1));
    assert_eq!(trailers("\r\n", &["a"]), Err(TrailerMismatch("a".into())));
    assert_eq!(trailers("b:1\r\n\r\n", &["a"]), Err(TrailerMismatch("b".into())));
    assert_eq!(trailers("", &["a"]), Err(Incomplete));
    assert_eq!(trailers("a:1", &["a"]), Err(Incomplete));
    for tail in ["a:1\r\na:1\r\n\r\n", "a\r\n\r\n"] {
        assert!(matches!(trailers(tail, &["a"]), Err(Malformed(_))), "{tail:?}");
    }
    let many: Vec<String> = (0..400).map(|n| format!("name-{n}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let lines: String = many.iter().map(|name| format!("{name}:1\r\n")).collect();
    assert_eq!(trailers(&lines, &names), Err(Malformed("too many trailers")));
}

#[test]
fn the_separated_trailer_signature_of_the_documentation_is_read() {
    let body =
        String::from_utf8(framed(&[b"abc"], true, &[("x-amz-checksum-crc32c", "AA==")])).unwrap();
    let separated = body.replace("AA==\r\n", "AA==\n\r\n");
    assert_ne!(body, separated);
    let names: &[&str] = &["x-amz-checksum-crc32c"];
    assert_eq!(decode(&[separated.as_bytes()], 3, true, Some(names)).unwrap().1.len(), 1);
    let unsigned_trailers: String = body
        .lines()
        .filter(|line| !line.contains("trailer-signature"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let got = decode(&[unsigned_trailers.as_bytes()], 3, true, Some(names));
    assert_eq!(got, Err(FramingError::Incomplete));
}
