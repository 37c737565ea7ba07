//! What comes of an attempt, and by what. Saying so costs the decision nothing: it has
//! the numbers at hand.

/// What comes of it, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    Denied,
    /// No policy says anything: allowed if an ACL allows it.
    LeftToAcls,
    Allowed,
}

/// A decision with its ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub decision: Decision,
    pub ground: Ground,
}

impl Verdict {
    pub(crate) fn new(decision: Decision, ground: Ground) -> Verdict {
        Verdict { decision, ground }
    }
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A statement, by its place in its policy. A Deny that is not `certain` applies
    /// because a condition asks for what cannot be known.
    Statement { policy: Place, statement: usize, certain: bool },
    /// A policy without which nothing is allowed, and that has no statement that allows it.
    /// A user's permissions boundary is one for his own policies alone: ACLs may allow it
    /// all the same.
    Silent(Place),
    /// That it is the account's root, against whom nothing speaks.
    Root,
    /// A statement allows it, but in a policy that lets anybody in, which the bucket
    /// restricts to its owner's account.
    PublicBlocked,
    /// No statement allows it.
    Nothing,
}

/// A policy, by its place among those of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub source: Source,
    pub at: usize,
}

/// Whose policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Those that limit the credentials: [`Caller::session`](crate::Caller::session).
    Session,
    /// The caller's: [`Caller::policies`](crate::Caller::policies).
    Own,
    /// What those may allow at most, his permissions boundary:
    /// [`Caller::limits`](crate::Caller::limits).
    Boundary,
    /// The bucket's: [`Grants::policies`](crate::Grants::policies).
    Bucket,
    /// The role's that says who may take it on.
    Trust,
}

impl Source {
    pub(crate) fn nth(self, at: usize) -> Place {
        Place { source: self, at }
    }

    pub(crate) fn first(self) -> Place {
        self.nth(0)
    }
}

/// A statement that applies.
pub(crate) struct Found {
    pub statement: usize,
    pub certain: bool,
}

impl Found {
    pub fn ground(self, source: Source, at: usize) -> Ground {
        let Found { statement, certain } = self;
        Ground::Statement { policy: source.nth(at), statement, certain }
    }
}
