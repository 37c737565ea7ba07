//! How the server knows its operator: by a pass that only who has the master key
//! can make.

use costrel_core::secret::{MasterKey, Secret};
use http::Method;

use crate::world::SystemEntropy;

/// How long a pass is good for, in milliseconds.
const PASS_MS: u64 = 300_000;

const SCHEME: &str = "Costrel ";

pub struct Operator(MasterKey);

impl Operator {
    pub fn new(key: MasterKey) -> Operator {
        Operator(key)
    }

    /// The `Authorization` of one request, by its method, and its path and query.
    pub fn pass(&self, method: &Method, target: &str, now_ms: u64) -> String {
        let until = Secret::new((now_ms + PASS_MS).to_string());
        let sealed = self.0.seal(&until, context(method, target).as_bytes(), &SystemEntropy);
        format!("{SCHEME}{}", hex::encode(sealed))
    }

    pub fn admits(&self, authorization: &str, method: &Method, target: &str, now_ms: u64) -> bool {
        let until = || {
            let sealed = hex::decode(authorization.strip_prefix(SCHEME)?).ok()?;
            let until = self.0.unseal(&sealed, context(method, target).as_bytes()).ok()?;
            until.expose().parse::<u64>().ok()
        };
        // One that is good for longer was made by a clock that goes wrong.
        until().is_some_and(|until| (now_ms..=now_ms + 2 * PASS_MS).contains(&until))
    }
}

fn context(method: &Method, target: &str) -> String {
    format!("operator: {method} {target}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000;

    #[test]
    fn a_pass_is_for_one_request_and_some_minutes() {
        let operator = Operator::new(MasterKey::new(&[7; 32]));
        let pass = operator.pass(&Method::GET, "/a?b=c", NOW);
        assert!(operator.admits(&pass, &Method::GET, "/a?b=c", NOW));
        assert!(operator.admits(&pass, &Method::GET, "/a?b=c", NOW + PASS_MS));
        assert!(!operator.admits(&pass, &Method::GET, "/a?b=c", NOW + PASS_MS + 1));
        assert!(!operator.admits(&pass, &Method::GET, "/a?b=c", NOW - PASS_MS - 1));
        assert!(!operator.admits(&pass, &Method::GET, "/a?b=d", NOW));
        assert!(!operator.admits(&pass, &Method::POST, "/a?b=c", NOW));
        let other = Operator::new(MasterKey::new(&[8; 32]));
        assert!(!other.admits(&pass, &Method::GET, "/a?b=c", NOW));
        for bad in ["", "Costrel ", "Costrel zz", &pass[1..], &pass[..pass.len() - 2]] {
            assert!(!operator.admits(bad, &Method::GET, "/a?b=c", NOW), "{bad}");
        }
    }
}
