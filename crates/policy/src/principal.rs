//! Who a statement is about.

use crate::decide::{Caller, Who};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Principal {
    /// Everybody, signed or not.
    Anyone,
    /// CAM's anonymous: whoever does not sign. What it allows is allowed to those
    /// who sign too, whose requests are judged as unsigned ones as well.
    Anonymous,
    /// An account: its root and whoever acts in its name.
    Account(u64),
    /// Somebody who does not call here: a user, a role, a service.
    Other,
}

impl Principal {
    pub(crate) fn matches(&self, caller: &Caller, allows: bool) -> bool {
        match (self, &caller.who) {
            (Principal::Anyone, _) => true,
            (Principal::Anonymous, who) => allows || *who == Who::Anonymous,
            (Principal::Account(uin), Who::Root(root)) => uin == root,
            (Principal::Account(_), Who::Anonymous) | (Principal::Other, _) => false,
        }
    }
}
