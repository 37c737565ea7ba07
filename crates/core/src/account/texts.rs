//! Policies that were read lately, by their texts.
//!
//! A key that signs all the time is looked up anew every second, and policies of groups and
//! attached ones are those of many: each text is read once, whoever has it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use costrel_policy::{Grammar, Policy, PolicyFault};
use parking_lot::Mutex;

/// Bytes of texts of one generation, of which there are two. Read, a policy takes several
/// times its text.
const GENERATION_BYTES: usize = 2 << 20;

/// What an entry takes besides.
const ENTRY_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Texts(Mutex<[Generations; 2]>);

/// Of one grammar. When the younger is full, the elder is dropped.
#[derive(Default)]
struct Generations {
    young: HashMap<Bytes, Arc<Policy>>,
    old: HashMap<Bytes, Arc<Policy>>,
    young_bytes: usize,
}

impl Generations {
    fn put(&mut self, text: Bytes, policy: Arc<Policy>) {
        let bytes = text.len() + ENTRY_BYTES;
        if self.young_bytes + bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(text, policy).is_none() {
            self.young_bytes += bytes;
        }
    }
}

impl Texts {
    /// What a user's policy says.
    pub fn read(&self, grammar: Grammar, text: &[u8]) -> Result<Arc<Policy>, PolicyFault> {
        let at = match grammar {
            Grammar::Cam => 0,
            Grammar::Iam => 1,
        };
        {
            let mut all = self.0.lock();
            let known = &mut all[at];
            if let Some(policy) = known.young.get(text) {
                return Ok(policy.clone());
            }
            // What is still in use outlives its generation.
            if let Some((text, policy)) = known.old.remove_entry(text) {
                known.put(text, policy.clone());
                return Ok(policy);
            }
        }
        let policy = Arc::new(Policy::of_user(grammar, text)?);
        // A copy: the text may be a piece of something larger.
        self.0.lock()[at].put(Bytes::copy_from_slice(text), policy.clone());
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: usize, padding: usize) -> Vec<u8> {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Sid": "s{n}", "Effect": "Allow",
               "Action": "s3:*", "Resource": "*"}}{}}}"#,
            " ".repeat(padding)
        )
        .into_bytes()
    }

    #[test]
    fn a_text_is_read_once() {
        let texts = Texts::default();
        let first = texts.read(Grammar::Iam, &text(1, 0)).unwrap();
        let again = texts.read(Grammar::Iam, &text(1, 0)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &texts.read(Grammar::Iam, &text(2, 0)).unwrap()));
        // The same text is nothing in the other grammar.
        assert!(texts.read(Grammar::Cam, &text(1, 0)).is_err());
        assert!(texts.read(Grammar::Iam, b"{}").is_err());
    }

    #[test]
    fn texts_are_bounded_and_those_in_use_stay() {
        let texts = Texts::default();
        let used = texts.read(Grammar::Iam, &text(0, 0)).unwrap();
        let padding = 10_000;
        for n in 1..5 * GENERATION_BYTES / padding {
            texts.read(Grammar::Iam, &text(n, padding)).unwrap();
            let again = texts.read(Grammar::Iam, &text(0, 0)).unwrap();
            assert!(Arc::ptr_eq(&used, &again), "{n}");
        }
        let all = texts.0.lock();
        let kept = all[1].young.keys().chain(all[1].old.keys());
        let bytes: usize = kept.map(|text| text.len() + ENTRY_BYTES).sum();
        assert!(bytes <= 2 * GENERATION_BYTES, "{bytes}");
    }
}
