//! Whether a target's policies let logs in.
//!
//! Nothing has to allow it: who configured the logs was allowed to put them there. But a
//! policy that denies it to everybody denies it to the service too, as it does in S3.

use costrel_policy::{
    Action, Attempt, Caller, Decision, Fact, Facts, Grants, Key, Target, Value, Who, decide,
};

use super::LogFault;
use crate::bucket::Bucket;
use crate::error::Result;
use crate::names::ObjectKey;
use crate::store::Store;

const PUT: Action = Action { cam: "name/cos:PutObject", iam: "s3:PutObject" };

/// What is known of a delivery, which is nobody's request.
struct Delivery<'a> {
    source: &'a str,
    owner: String,
    region: &'a str,
    now_ms: u64,
}

impl Facts for Delivery<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        match key {
            Key::SecureTransport | Key::PrincipalIsService => Fact::One(Value::Bool(true)),
            Key::CurrentTime => Fact::One(Value::Time(self.now_ms as i64)),
            Key::EpochTime => Fact::One(Value::Number(self.now_ms / 1000)),
            Key::SourceArn => Fact::text(format!("arn:aws:s3:::{}", self.source)),
            Key::SourceAccount | Key::ResourceAccount => Fact::text(self.owner.as_str()),
            Key::RequestedRegion => Fact::text(self.region),
            _ => Fact::Absent,
        }
    }
}

impl Store {
    /// Fails if a policy of the target denies everybody to put this there.
    pub(super) async fn check_lets_in(
        &self,
        target: &Bucket,
        source: &str,
        key: &ObjectKey,
    ) -> Result<()> {
        let policies = self.policies(target).await?;
        if policies.is_empty() {
            return Ok(());
        }
        let owner_uin = target.owner_uin;
        let facts = Delivery {
            source,
            owner: owner_uin.to_string(),
            region: &target.region,
            now_ms: self.now_ms(),
        };
        // Neither the account nor anybody of it.
        let caller = Caller::new(Who::Anonymous);
        let attempt = Attempt {
            caller: &caller,
            action: PUT,
            target: Target {
                bucket: target.name.as_str(),
                region: &target.region,
                owner_uin,
                owner_appid: target.name.appid().unwrap_or_default(),
                key: Some(key.as_str()),
            },
            on_policy: false,
            facts: &facts,
        };
        let verdict = decide(&attempt, Grants { policies: &policies, restrict_public: false });
        match verdict.decision {
            Decision::Denied => Err(LogFault::Denied.into()),
            Decision::Allowed | Decision::LeftToAcls => Ok(()),
        }
    }
}
