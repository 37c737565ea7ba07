//! Random policies in both grammars, and random requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use costrel_policy::{
    Action, Caller, Fact, Facts, Grammar, Key, Policy, PolicyFault, Target, Value, Who,
};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value as Json, json};

pub const OWNER: u64 = 100_000_000_001;
pub const APPID: u64 = 1_250_000_000;
pub const BUCKET: &str = "b-1250000000";
pub const REGION: &str = "ap-guangzhou";

pub struct World {
    /// The bucket's.
    pub policies: Vec<Made>,
    /// Those of whoever asks, be they his own, his groups' or his role's.
    pub own: Vec<Made>,
    /// What those may allow at most.
    pub limits: Vec<Made>,
    pub session: Vec<Made>,
    /// The role's that he asks for.
    pub trust: Made,
}

impl World {
    /// All there is, to be shown.
    pub fn texts(&self) -> Vec<String> {
        let all = self.policies.iter().chain(&self.own).chain(&self.limits).chain(&self.session);
        all.chain([&self.trust]).map(Made::text).collect()
    }
}

pub struct Made {
    pub grammar: Grammar,
    pub document: Json,
}

impl Made {
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    pub fn parse(&self, read: Read) -> Arc<Policy> {
        let parsed = read(self.grammar, self.text().as_bytes());
        Arc::new(parsed.unwrap_or_else(|fault| panic!("{fault:?}: {}", self.text())))
    }
}

type Read = fn(Grammar, &[u8]) -> Result<Policy, PolicyFault>;

/// What may be known of a request, by IAM's name in lower case.
#[derive(Clone, Debug)]
pub enum Known {
    Unknown,
    One(&'static str),
    Many(Vec<&'static str>),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub caller: Caller,
    pub action: Action,
    pub key: Option<&'static str>,
    pub on_policy: bool,
    /// What it is about, if it is of another service.
    pub resources: Vec<String>,
    /// What is not here is absent.
    pub facts: BTreeMap<&'static str, Known>,
}

impl Request {
    pub fn target(&self) -> Target<'_> {
        Target {
            bucket: BUCKET,
            region: REGION,
            owner_uin: OWNER,
            owner_appid: APPID,
            key: self.key,
        }
    }
}

impl Facts for Request {
    fn resources(&self) -> &[String] {
        &self.resources
    }

    fn fact(&self, key: &Key) -> Fact<'_> {
        let name = match key {
            Key::SourceIp => "aws:sourceip",
            Key::SecureTransport => "aws:securetransport",
            Key::Prefix => "s3:prefix",
            Key::MaxKeys => "s3:max-keys",
            Key::CurrentTime => "aws:currenttime",
            Key::RequestTagKeys => "s3:requestobjecttagkeys",
            Key::PrincipalArn => "aws:principalarn",
            Key::UserName => "aws:username",
            Key::Uin => "uin",
            other => panic!("{other:?}"),
        };
        match self.facts.get(name) {
            None => Fact::Absent,
            Some(Known::Unknown) => Fact::Unknown,
            // Kinds of their own must mean what their texts mean.
            Some(Known::One(text)) => match (key, text.parse(), text.parse()) {
                (Key::SourceIp, Ok(ip), _) => Fact::One(Value::Ip(ip)),
                (Key::SecureTransport, ..) => Fact::One(Value::Bool(*text == "true")),
                (Key::MaxKeys, _, Ok(number)) => Fact::One(Value::Number(number)),
                _ => Fact::text(*text),
            },
            Some(Known::Many(texts)) => {
                Fact::Many(texts.iter().map(|text| (*text).into()).collect())
            }
        }
    }
}

pub const ACTIONS: [Action; 5] = [
    Action { cam: "name/cos:GetObject", iam: "s3:GetObject" },
    Action { cam: "name/cos:HeadObject", iam: "s3:GetObject" },
    Action { cam: "name/cos:PutObject", iam: "s3:PutObject" },
    Action { cam: "name/cos:GetBucket", iam: "s3:ListBucket" },
    Action { cam: "name/cos:DeleteBucketPolicy", iam: "s3:DeleteBucketPolicy" },
];

pub const ASSUME: Action = Action { cam: "name/sts:AssumeRole", iam: "sts:AssumeRole" };

/// Whoever there is: his kind and numbers, his name, and what he calls himself.
const CALLERS: [(Who, Option<&str>, Option<&str>); 9] = [
    (Who::Anonymous, None, None),
    (Who::Anonymous, None, None),
    (Who::Root(OWNER), None, None),
    (Who::Root(OWNER + 1), None, None),
    (Who::User { account: OWNER, uin: OWNER + 10 }, Some("ann"), None),
    (Who::User { account: OWNER, uin: OWNER + 11 }, Some("bob"), Some("s")),
    (Who::User { account: OWNER + 1, uin: OWNER + 12 }, Some("ann"), None),
    (Who::Role { account: OWNER, id: 31 }, Some("r"), Some("s")),
    (Who::Role { account: OWNER, id: 32 }, Some("ann"), Some("t")),
];

fn pick<T: Copy>(rng: &mut StdRng, of: &[T]) -> T {
    *of.choose(rng).unwrap()
}

/// One to three of a list, alone or as a list.
fn some(rng: &mut StdRng, of: &[&str]) -> Json {
    match rng.random_range(0..4) {
        0 => Json::from(pick(rng, of)),
        n => (0..n).map(|_| Json::from(pick(rng, of))).collect(),
    }
}

/// `own` are the policies of whoever asks and what limits them, if he is somebody who can
/// have some.
pub fn request(
    rng: &mut StdRng,
    actions: &[Action],
    (own, limits): (&[Arc<Policy>], &[Arc<Policy>]),
    session: &[Arc<Policy>],
) -> Request {
    let (who, name, session_name) = pick(rng, &CALLERS);
    let has_policies = matches!(who, Who::User { .. } | Who::Role { .. });
    let action = pick(rng, actions);
    let object = action.iam.ends_with("Object");
    let mut facts = BTreeMap::new();
    let values: [(&'static str, &[&'static str]); 8] = [
        ("aws:sourceip", &["10.1.2.3", "192.168.0.7", "2001:db8::7", "::ffff:10.1.2.3"]),
        ("aws:securetransport", &["true", "false"]),
        ("s3:prefix", &["", "home/", "home/ann/x", "HOME/", "ann"]),
        ("s3:max-keys", &["0", "7", "10", "1000"]),
        ("aws:currenttime", &["2026-01-02T03:04:05Z", "2030-01-01T00:00:00Z"]),
        ("aws:principalarn", &["arn:aws:iam::100000000001:root", "arn:aws:iam::1:user/a:b"]),
        ("aws:username", &["ann", "*", "bob"]),
        ("uin", &["100000000001", "ann"]),
    ];
    for (name, values) in values {
        match rng.random_range(0..8) {
            0 => {}
            1 => _ = facts.insert(name, Known::Unknown),
            _ => _ = facts.insert(name, Known::One(pick(rng, values))),
        }
    }
    let tags = ["team", "cost", "Team"];
    match rng.random_range(0..4) {
        0 => {}
        1 => _ = facts.insert("s3:requestobjecttagkeys", Known::Unknown),
        n => {
            let many = (0..n - 2).map(|_| pick(rng, &tags)).collect();
            facts.insert("s3:requestobjecttagkeys", Known::Many(many));
        }
    }
    let keys = ["home/ann/x", "home/bob/x", "a.jpg", "home/*/x", "home/", "云/a"];
    Request {
        caller: Caller {
            who,
            name: name.map(Into::into),
            session_name: session_name.map(Into::into),
            policies: if has_policies { own.to_vec() } else { vec![] },
            limits: if has_policies { limits.to_vec() } else { vec![] },
            session: session.to_vec(),
        },
        action,
        key: object.then(|| pick(rng, &keys)),
        on_policy: action.iam == "s3:DeleteBucketPolicy",
        resources: match action == ASSUME {
            true => ["qcs::cam::uin/100000000001:roleName/r", "arn:aws:iam::100000000001:role/r"]
                .map(str::to_owned)
                .to_vec(),
            false => vec![],
        },
        facts,
    }
}

pub fn world(rng: &mut StdRng) -> World {
    let policies = (0..rng.random_range(0..3)).map(|_| made(rng, Of::Bucket)).collect();
    let own = (0..rng.random_range(0..3)).map(|_| made(rng, Of::Somebody)).collect();
    let session = if rng.random_ratio(1, 6) { vec![made(rng, Of::Somebody)] } else { vec![] };
    let limits = if rng.random_ratio(1, 4) { vec![made(rng, Of::Somebody)] } else { vec![] };
    World { policies, own, limits, session, trust: made(rng, Of::Role) }
}

/// What a policy is of.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Bucket,
    Somebody,
    /// Of who may take it on.
    Role,
}

fn made(rng: &mut StdRng, of: Of) -> Made {
    let grammar = pick(rng, &[Grammar::Cam, Grammar::Iam]);
    let count = rng.random_range(1..4);
    let statements: Vec<Json> = (0..count).map(|_| statement(rng, grammar, of)).collect();
    let document = match grammar {
        Grammar::Iam => {
            let version = pick(rng, &["2012-10-17", "2012-10-17", "2008-10-17"]);
            json!({ "Version": version, "Statement": statements })
        }
        Grammar::Cam => json!({ "version": "2.0", "statement": statements }),
    };
    Made { grammar, document }
}

fn statement(rng: &mut StdRng, grammar: Grammar, of: Of) -> Json {
    let mut members = Map::new();
    let mut put = |name: &str, value: Json| {
        let name = if grammar == Grammar::Cam { name.to_lowercase() } else { name.to_owned() };
        members.insert(name, value);
    };
    let allows = rng.random_ratio(2, 3);
    let effect = if allows { "Allow" } else { "Deny" };
    put(
        "Effect",
        if grammar == Grammar::Cam { effect.to_lowercase().into() } else { effect.into() },
    );
    if of != Of::Somebody {
        let name = if !allows && rng.random_ratio(1, 4) { "NotPrincipal" } else { "Principal" };
        put(name, principal(rng, grammar));
    }
    let actions: &[&str] = match grammar {
        Grammar::Cam => &[
            "*",
            "name/cos:*",
            "name/cos:GetObject",
            "cos:Get*",
            "name/cos:*Object",
            "cos:getobject",
        ],
        Grammar::Iam => {
            &["*", "s3:*", "s3:GetObject", "S3:get*", "s3:*Object", "s3:PutObject", "s3:?etObject"]
        }
    };
    let mut actions = actions.to_vec();
    if of != Of::Bucket {
        actions.extend(["sts:AssumeRole"; 4]);
    }
    put(pick(rng, &["Action", "Action", "Action", "NotAction"]), some(rng, &actions));
    let resources: &[&str] = match grammar {
        Grammar::Cam => &[
            "*",
            "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/*",
            "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/home/*",
            "qcs::cos:ap-beijing:uid/1250000000:b-1250000000/*",
            "qcs::cos:*:uin/100000000001:b-1250000000/*.jpg",
            "qcs::cos::uid/1250000001:b-1250000000/*",
            "qcs::cos:ap-guangzhou:uid/1250000000:prefix//1250000000/b/home/*",
            "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000",
            "qcs::cos:ap-guangzhou:uid/*:b-1250000000/home/${uin}/*",
        ],
        Grammar::Iam => &[
            "*",
            "arn:aws:s3:::b-1250000000",
            "arn:aws:s3:::b-1250000000/*",
            "arn:aws:s3:::b-1250000000*",
            "arn:aws:s3:::b-1250000000/home/${aws:username}/*",
            "arn:aws:s3:::b-1250000000/home/???/x",
            "arn:aws:s3:::*/a.jpg",
            "arn:*:s3:::b-1250000000/home/",
        ],
    };
    let mut resources = resources.to_vec();
    if of == Of::Somebody {
        resources.extend(match grammar {
            Grammar::Cam => ["qcs::cam::uin/100000000001:roleName/*", "qcs::cam::uin/*:uin/*"],
            Grammar::Iam => ["arn:aws:iam::*:role/r", "arn:aws:iam::100000000001:role/x*"],
        });
    }
    if of != Of::Role {
        put(pick(rng, &["Resource", "Resource", "Resource", "NotResource"]), some(rng, &resources));
    }
    if rng.random_ratio(1, 2) {
        let mut operators = Map::new();
        for _ in 0..rng.random_range(1..3) {
            let (operator, key, values) = condition(rng, grammar);
            operators.insert(operator, json!({ key: values }));
        }
        put("Condition", operators.into());
    }
    members.into()
}

fn principal(rng: &mut StdRng, grammar: Grammar) -> Json {
    let names: &[&str] = match grammar {
        Grammar::Cam => &[
            "qcs::cam::anyone:anyone",
            "qcs::cam::anonymous:anonymous",
            "qcs::cam::uin/100000000001:uin/100000000001",
            "qcs::cam::uin/100000000002:uin/*",
            "qcs::cam::uin/100000000001:uin/100000000011",
            "qcs::cam::uin/100000000001:roleName/r",
            "qcs::cam::uin/100000000001:role/31",
            "qcs::cam::uin/100000000001:root",
        ],
        Grammar::Iam => &[
            "*",
            "100000000001",
            "arn:aws:iam::100000000002:root",
            "arn:aws:iam::100000000001:user/ann",
            "arn:aws:iam::100000000001:role/r",
            "arn:aws:sts::100000000001:assumed-role/r/s",
        ],
    };
    match (rng.random_range(0..3), grammar) {
        (0, _) => "*".into(),
        (_, Grammar::Cam) => json!({ "qcs": some(rng, names) }),
        (_, Grammar::Iam) => json!({ "AWS": some(rng, names) }),
    }
}

/// An operator in IAM's name, with a key it suits and values.
fn condition(rng: &mut StdRng, grammar: Grammar) -> (String, &'static str, Json) {
    let texts = ["home/", "home/*", "ann", "HOME/", "*", "?nn"];
    let kinds: [(&[&str], &str, &str, &[&str]); 8] = [
        (
            &["IpAddress", "NotIpAddress"],
            "aws:SourceIp",
            "qcs:ip",
            &["10.0.0.0/8", "192.168.0.7", "2001:db8::/32", "0.0.0.0/0"],
        ),
        (&["Bool"], "aws:SecureTransport", "cos:secure-transport", &["true", "false"]),
        (
            &[
                "StringEquals",
                "StringNotEquals",
                "StringLike",
                "StringNotLike",
                "StringEqualsIgnoreCase",
                "StringNotEqualsIgnoreCase",
            ],
            "s3:prefix",
            "cos:prefix",
            &texts,
        ),
        (
            &[
                "NumericEquals",
                "NumericNotEquals",
                "NumericLessThan",
                "NumericLessThanEquals",
                "NumericGreaterThan",
                "NumericGreaterThanEquals",
            ],
            "s3:max-keys",
            "cos:max-keys",
            &["7", "10.0", "10.5", "-1"],
        ),
        (
            &[
                "DateEquals",
                "DateNotEquals",
                "DateLessThan",
                "DateLessThanEquals",
                "DateGreaterThan",
                "DateGreaterThanEquals",
            ],
            "aws:CurrentTime",
            "qcs:current_time",
            &["2026-01-02T11:04:05+08:00", "2028-01-01", "1767323045"],
        ),
        (&["Null"], "s3:prefix", "cos:prefix", &["true", "false"]),
        (
            &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
            "aws:PrincipalArn",
            "",
            &["arn:aws:iam::100000000001:root", "arn:*:iam::*:user/*", "arn:aws:iam:*:root"],
        ),
        (
            &[
                "ForAnyValue:StringEquals",
                "ForAllValues:StringEquals",
                "ForAnyValue:StringNotEquals",
                "ForAllValues:StringNotLike",
                "StringLike",
                "StringNotEquals",
            ],
            "s3:RequestObjectTagKeys",
            "",
            &["team", "cost", "te*"],
        ),
    ];
    let count = if grammar == Grammar::Cam { 6 } else { 8 };
    let (operators, iam, cam, values) = kinds[rng.random_range(0..count)];
    let operator = pick(rng, operators);
    let values: Vec<&str> = values
        .iter()
        .copied()
        .filter(|value| !operator.starts_with("Arn") || value.matches(':').count() >= 5)
        .collect();
    let mut values = some(rng, &values);
    if operator == "Null" && values.is_array() {
        values = values[0].clone();
    }
    let suffix = operator != "Null" && rng.random_ratio(1, 4);
    match grammar {
        Grammar::Iam => {
            (format!("{operator}{}", if suffix { "IfExists" } else { "" }), iam, values)
        }
        Grammar::Cam => {
            let name = cam_name(operator);
            (format!("{name}{}", if suffix { "_if_exist" } else { "" }), cam, values)
        }
    }
}

fn cam_name(operator: &str) -> String {
    match operator {
        "IpAddress" => return "ip_equal".into(),
        "NotIpAddress" => return "ip_not_equal".into(),
        "Bool" => return "bool_equal".into(),
        "Null" => return "null_equal".into(),
        _ => {}
    }
    let name = operator.replace("Equals", "Equal");
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
