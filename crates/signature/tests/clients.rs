//! Requests captured from official clients: each verifies, and stops verifying
//! when anything that its signature covers is changed.

mod support;

use support::Wire;

const NOW: i64 = 1_700_000_000;
const COS_SECRET: &str = "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz";
const AWS_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn captured() -> Vec<(Wire, &'static str)> {
    let text = include_str!("vectors/clients.txt");
    let blocks =
        text.split("\n\n").map(|block| block.lines().filter(|line| !line.starts_with('#')));
    blocks
        .filter_map(|mut lines| {
            let (method, url) = lines.next()?.split_once(' ')?;
            let rest = url.strip_prefix("http://")?;
            let (host, target) = rest.split_at(rest.find('/')?);
            let mut wire = Wire::new(method, host, target);
            wire.bucket = host.starts_with("bkt-").then(|| "bkt-1250000000".to_owned());
            for line in lines {
                let (name, value) = line.split_once(": ")?;
                wire = wire.header(name, value);
            }
            let cos = host.ends_with("myqcloud.com");
            Some((wire, if cos { COS_SECRET } else { AWS_SECRET }))
        })
        .collect()
}

#[test]
fn requests_of_official_clients_verify() {
    let requests = captured();
    assert_eq!(requests.len(), 22);
    for (wire, secret) in &requests {
        if let Err(why) = wire.full(secret, NOW) {
            panic!("{wire:#?}\n{why:#?}");
        }
        wire.assert_mismatch("another secret", NOW);
    }
}

#[test]
fn requests_of_official_clients_cannot_be_changed() {
    for (wire, secret) in captured() {
        let mut other = wire.clone();
        other.method = "DELETE".into();
        other.assert_mismatch(secret, NOW);

        let mut other = wire.clone();
        let at = other.target.find('?').unwrap_or(other.target.len());
        other.target.insert(at, 'x');
        other.assert_mismatch(secret, NOW);
    }
}
