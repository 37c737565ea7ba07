//! Whether a policy lets anybody in.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status>

use crate::key::Key;
use crate::parse::{Policy, Statement};
use crate::principal::Principal;

impl Policy {
    /// Whether it allows something to everybody, not only to those whom a
    /// condition with fixed values picks out.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let everybody = |one: &Principal| matches!(one, Principal::Anyone | Principal::Anonymous);
        let narrowing = [
            Key::SourceIp,
            Key::SourceArn,
            Key::SourceAccount,
            Key::UserId,
            Key::PrincipalArn,
            Key::PrincipalAccount,
        ];
        self.allows
            && (self.principals.others || self.principals.named.iter().any(everybody))
            && !self.conditions.iter().any(|c| narrowing.contains(&c.key) && c.narrows())
    }
}
