//! What is said of who may do what, drawn at random, and how it is written.

use costrel_policy::Action;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, Operation};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::policies::{cam, iam};
use crate::world::{APPID, UIN};

/// Which actions a statement is about, seen from the operation that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    All,
    Asked,
    /// Copies read, too.
    AskedAndRead,
    AllBut,
    Other,
}

/// Whom a bucket's statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    Everybody,
    TheUser,
    AnotherUser,
}

#[derive(Clone, Copy, Debug)]
pub struct Statement {
    pub allows: bool,
    pub about: About,
    /// Counts in policies of buckets alone.
    pub principal: Principal,
}

#[derive(Clone, Debug)]
pub struct Document {
    /// Whose grammar it is written in.
    pub grammar: Dialect,
    pub statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub struct Said {
    pub bucket_acl: &'static str,
    pub object_acl: &'static str,
    pub ignores_public_acls: bool,
    pub restricts_public_policies: bool,
    /// The bucket's owner owns whatever is in it, and ACLs say nothing.
    pub owner_owns: bool,
    /// At most one in each grammar.
    pub of_bucket: Vec<Document>,
    /// Of what a copy is from.
    pub source_acl: &'static str,
    pub of_source: Vec<Document>,
    pub own: Option<Document>,
    pub boundary: Document,
    pub session: Document,
}

const ACLS: [&str; 4] = ["private", "public-read", "public-read-write", "authenticated-read"];

impl Said {
    pub fn draw(rng: &mut StdRng) -> Said {
        let grammars = match rng.random_range(0..10) {
            0..4 => &[][..],
            4..6 => &[Dialect::Cos],
            6..8 => &[Dialect::S3],
            _ => &Dialect::ALL,
        };
        let own = rng.random_bool(0.7).then(|| Document::draw(rng, None));
        let owner_owns = rng.random_bool(0.2);
        let of_source = rng.random_bool(0.4);
        Said {
            // Of a bucket whose list opens it, nobody takes the list away like this.
            bucket_acl: if owner_owns { "private" } else { ACLS.choose(rng).unwrap() },
            owner_owns,
            source_acl: ACLS.choose(rng).unwrap(),
            of_source: of_source.then(|| Document::draw(rng, None)).into_iter().collect(),
            object_acl: ACLS.choose(rng).unwrap(),
            ignores_public_acls: rng.random_bool(0.2),
            restricts_public_policies: rng.random_bool(0.2),
            of_bucket: grammars.iter().map(|one| Document::draw(rng, Some(*one))).collect(),
            own,
            boundary: Document::draw(rng, None),
            session: Document::draw(rng, None),
        }
    }
}

impl Document {
    fn draw(rng: &mut StdRng, grammar: Option<Dialect>) -> Document {
        let any = *Dialect::ALL.choose(rng).unwrap();
        let count = rng.random_range(1..=2);
        let statements = (0..count).map(|_| Statement::draw(rng)).collect();
        Document { grammar: grammar.unwrap_or(any), statements }
    }

    /// As a policy of a bucket, which the user with this number is meant by.
    pub fn of_bucket(&self, asked: Action, user: u64, bucket: &str) -> String {
        self.text(asked, bucket, |principal| match (self.grammar, principal) {
            (Dialect::S3, Principal::Everybody) => r#""Principal": "*","#.to_owned(),
            (Dialect::Cos, Principal::Everybody) => {
                r#""principal": {"qcs": ["qcs::cam::anyone:anyone"]},"#.to_owned()
            }
            (Dialect::S3, Principal::TheUser) => {
                format!(r#""Principal": {{"AWS": "arn:aws:iam::{UIN}:user/asker"}},"#)
            }
            (Dialect::S3, Principal::AnotherUser) => {
                format!(r#""Principal": {{"AWS": "arn:aws:iam::{UIN}:user/another"}},"#)
            }
            (Dialect::Cos, Principal::TheUser) => {
                format!(r#""principal": {{"qcs": ["qcs::cam::uin/{UIN}:uin/{user}"]}},"#)
            }
            (Dialect::Cos, Principal::AnotherUser) => {
                format!(r#""principal": {{"qcs": ["qcs::cam::uin/{UIN}:uin/{}"]}},"#, user + 1)
            }
        })
    }

    /// As a policy that needs to name nobody.
    pub fn of_holder(&self, asked: Action) -> String {
        self.text(asked, "", |_| String::new())
    }

    fn text(&self, asked: Action, bucket: &str, principal: impl Fn(Principal) -> String) -> String {
        let read = ops::action(Operation::GetObject, false);
        let name = |action: Action| match self.grammar {
            Dialect::Cos => action.cam,
            Dialect::S3 => action.iam,
        };
        let (asked, read) = (name(asked), name(read));
        let one = |statement: &Statement| {
            let actions = match (statement.about, self.grammar) {
                (About::All, _) => r#""Action": ["*"]"#.to_owned(),
                (About::Asked, _) => format!(r#""Action": ["{asked}"]"#),
                (About::AskedAndRead, _) => format!(r#""Action": ["{asked}", "{read}"]"#),
                (About::AllBut, _) => format!(r#""NotAction": ["{asked}"]"#),
                (About::Other, Dialect::Cos) => {
                    r#""Action": ["name/cos:PutBucketReplication"]"#.to_owned()
                }
                (About::Other, Dialect::S3) => {
                    r#""Action": ["s3:PutReplicationConfiguration"]"#.to_owned()
                }
            };
            let who = principal(statement.principal);
            let (effect, of_bucket) = (statement.allows, !who.is_empty());
            match self.grammar {
                Dialect::S3 => {
                    let effect = if effect { "Allow" } else { "Deny" };
                    let resource = match of_bucket {
                        true => format!(r#"["arn:aws:s3:::{bucket}", "arn:aws:s3:::{bucket}/*"]"#),
                        false => r#""*""#.to_owned(),
                    };
                    format!(r#"{{"Effect": "{effect}", {who} {actions}, "Resource": {resource}}}"#)
                }
                Dialect::Cos => {
                    let effect = if effect { "allow" } else { "deny" };
                    let actions = actions.replace(r#""Action""#, r#""action""#);
                    let resource = match of_bucket {
                        true => format!("qcs::cos:ap-guangzhou:uid/{APPID}:{bucket}/*"),
                        false => "*".to_owned(),
                    };
                    format!(
                        r#"{{"effect": "{effect}", {who} {actions}, "resource": ["{resource}"]}}"#
                    )
                }
            }
        };
        let statements: Vec<_> = self.statements.iter().map(one).collect();
        match self.grammar {
            Dialect::S3 => iam(&statements.join(", ")),
            Dialect::Cos => cam(&statements.join(", ")),
        }
    }
}

impl Statement {
    fn draw(rng: &mut StdRng) -> Statement {
        use About::{All, AllBut, Asked, AskedAndRead, Other};
        let about = [All, All, All, Asked, Asked, AskedAndRead, AskedAndRead, AllBut, Other];
        let principal = [Principal::Everybody, Principal::TheUser, Principal::AnotherUser];
        Statement {
            allows: rng.random_bool(0.75),
            about: *about.choose(rng).unwrap(),
            principal: *principal.choose(rng).unwrap(),
        }
    }
}
