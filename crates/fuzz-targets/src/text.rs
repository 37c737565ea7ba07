//! Percent-encoding and query strings.

use costrel_protocol::percent;
use costrel_protocol::query::Query;
use costrel_signature::encode as signed;

/// Any text, as a path, as a query string and as a key.
pub fn percent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    decoding(text);
    query(text);

    let encoded = percent::encode(text);
    assert!(encoded.len() <= 3 * text.len());
    let kept = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
    assert!(encoded.bytes().all(kept), "{encoded}");
    assert_eq!(percent::decode(&encoded).as_deref(), Ok(text));
    assert_eq!(percent::decode_query(&encoded).as_deref(), Ok(text));
    // What is signed is what is sent.
    assert_eq!(encoded, signed::path(text));
    assert_eq!(signed::decode(&signed::component(text)).as_deref(), Ok(text));
}

fn decoding(text: &str) {
    let decoded = percent::decode(text);
    assert_eq!(decoded.as_deref().ok(), signed::decode(text).as_deref().ok());
    let Ok(decoded) = decoded else { return };
    assert!(decoded.len() <= text.len());
    if !text.contains('%') {
        assert_eq!(decoded, text);
    }
    assert_eq!(percent::decode(&percent::encode(&decoded)).as_deref(), Ok(&*decoded));
}

fn query(text: &str) {
    let parsed = Query::parse(text);
    // Signatures are checked over the pairs that requests are handled by.
    let pairs = signed::parse_query(text);
    assert_eq!(parsed.as_ref().ok().map(Query::pairs), pairs.as_deref().ok());
    let Ok(parsed) = parsed else { return };
    assert!(
        parsed.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= text.len()
    );
    for (name, _) in parsed.iter() {
        let first = parsed.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        assert!(parsed.has(name) && parsed.get(name) == first);
        assert!(parsed.get_any_case(&name.to_ascii_uppercase()).is_some());
    }
    // A pair without a name and a value is nothing on the wire.
    let named: Vec<(&str, &str)> =
        parsed.iter().filter(|(name, value)| !(name.is_empty() && value.is_empty())).collect();
    let again = signed::query(&named);
    let again = Query::parse(&again).expect("what was encoded can be decoded");
    assert!(again.iter().eq(named));
}
