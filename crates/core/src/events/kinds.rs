//! What may happen, by the names that S3 has for it.

/// The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    Put = 1,
    Post = 2,
    Copy = 3,
    Complete = 4,
    /// COS's. S3 has no name for it, and takes it for a put.
    Append = 5,
    /// An object or a version is gone for good.
    Removed = 10,
    Marked = 11,
    RestoreBegun = 20,
    /// By the clock, as the next.
    RestoreDone = 21,
    RestoreExpired = 22,
    Tagged = 30,
    Untagged = 31,
    AclSet = 40,
    /// As [`EventKind::Removed`], by a lifecycle.
    Expired = 50,
    ExpiredMarked = 51,
    /// Into another class, by a lifecycle.
    Moved = 60,
    /// Into an archive tier of intelligent tiering.
    Archived = 70,
}

/// Why a name in a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    Unknown,
    /// S3 has it, and nothing here ever causes it.
    NeverHappens,
}

/// Names of S3 that no event here has. A wildcard over one of them would promise it.
const NEVER: [&str; 2] = ["s3:ReducedRedundancyLostObject", "s3:Replication:"];

const SCHEME: &str = "s3:";

impl EventKind {
    pub const ALL: [EventKind; 17] = [
        EventKind::Put,
        EventKind::Post,
        EventKind::Copy,
        EventKind::Complete,
        EventKind::Append,
        EventKind::Removed,
        EventKind::Marked,
        EventKind::RestoreBegun,
        EventKind::RestoreDone,
        EventKind::RestoreExpired,
        EventKind::Tagged,
        EventKind::Untagged,
        EventKind::AclSet,
        EventKind::Expired,
        EventKind::ExpiredMarked,
        EventKind::Moved,
        EventKind::Archived,
    ];

    pub fn from_number(number: u32) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// S3's name, without the `s3:` that it has in configurations.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Put | EventKind::Append => "ObjectCreated:Put",
            EventKind::Post => "ObjectCreated:Post",
            EventKind::Copy => "ObjectCreated:Copy",
            EventKind::Complete => "ObjectCreated:CompleteMultipartUpload",
            EventKind::Removed => "ObjectRemoved:Delete",
            EventKind::Marked => "ObjectRemoved:DeleteMarkerCreated",
            EventKind::RestoreBegun => "ObjectRestore:Post",
            EventKind::RestoreDone => "ObjectRestore:Completed",
            EventKind::RestoreExpired => "ObjectRestore:Delete",
            EventKind::Tagged => "ObjectTagging:Put",
            EventKind::Untagged => "ObjectTagging:Delete",
            EventKind::AclSet => "ObjectAcl:Put",
            EventKind::Expired => "LifecycleExpiration:Delete",
            EventKind::ExpiredMarked => "LifecycleExpiration:DeleteMarkerCreated",
            EventKind::Moved => "LifecycleTransition",
            EventKind::Archived => "IntelligentTiering",
        }
    }

    /// Whether a name of a configuration, perhaps with a wildcard, means it.
    pub fn is_named(self, name: &str) -> bool {
        let Some(name) = name.strip_prefix(SCHEME) else { return false };
        match name.strip_suffix(":*") {
            Some(group) => self.name().split_once(':').is_some_and(|(of, _)| of == group),
            None => self.name() == name,
        }
    }
}

/// Whether a configuration may have the name.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    let never = |never: &&str| name == *never || (never.ends_with(':') && name.starts_with(*never));
    if NEVER.iter().any(never) {
        return Err(NameFault::NeverHappens);
    }
    match EventKind::ALL.into_iter().any(|kind| kind.is_named(name)) {
        true => Ok(()),
        false => Err(NameFault::Unknown),
    }
}

/// Whether two names have an event in common.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    EventKind::ALL.into_iter().any(|kind| kind.is_named(a) && kind.is_named(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_wildcards() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_number(kind as u32), Some(kind));
            assert_eq!(check_name(&format!("s3:{}", kind.name())), Ok(()));
            assert!(kind.is_named(&format!("s3:{}", kind.name())) && !kind.is_named(kind.name()));
        }
        assert!(EventKind::Copy.is_named("s3:ObjectCreated:*"));
        assert!(EventKind::Expired.is_named("s3:LifecycleExpiration:*"));
        for (kind, name) in [
            (EventKind::Copy, "s3:ObjectRemoved:*"),
            (EventKind::Copy, "s3:ObjectCreated"),
            (EventKind::Copy, "s3:Object*"),
            (EventKind::Copy, "s3:*"),
            (EventKind::Moved, "s3:LifecycleTransition:*"),
        ] {
            assert!(!kind.is_named(name), "{name}");
        }
    }

    #[test]
    fn what_never_happens_is_refused() {
        for name in [
            "s3:ReducedRedundancyLostObject",
            "s3:Replication:*",
            "s3:Replication:OperationMissedThreshold",
        ] {
            assert_eq!(check_name(name), Err(NameFault::NeverHappens), "{name}");
        }
        for name in ["", "s3:", "s3:*", "s3:ObjectCreated", "ObjectCreated:Put", "s3:TestEvent"] {
            assert_eq!(check_name(name), Err(NameFault::Unknown), "{name}");
        }
    }

    #[test]
    fn overlaps() {
        assert!(overlap("s3:ObjectCreated:*", "s3:ObjectCreated:Put"));
        assert!(overlap("s3:ObjectAcl:Put", "s3:ObjectAcl:Put"));
        assert!(!overlap("s3:ObjectCreated:Post", "s3:ObjectCreated:Put"));
        assert!(!overlap("s3:ObjectCreated:*", "s3:ObjectRemoved:*"));
    }
}
