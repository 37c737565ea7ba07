//! What is billed: an item is a kind of usage, of one storage class where the kind has
//! classes.

use crate::tier::StorageClass;

/// Kinds of usage. The codes are stored, and clients see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Bytes held, averaged over the day.
    Storage,
    ReadRequests,
    WriteRequests,
    /// Bytes read of a class.
    Retrieval,
    /// Bytes restored out of an archive, by the speed that was asked for.
    ExpeditedRestore,
    StandardRestore,
    BulkRestore,
    /// Bytes to clients at public addresses, and from them.
    InternetDownstream,
    InternetUpstream,
    /// The same at private addresses.
    InternalDownstream,
    InternalUpstream,
}

use Kind::*;

/// What usage is counted in, and what a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    pub name: &'static str,
    /// Bytes or requests.
    pub size: u64,
}

/// 2³⁰ bytes.
const GB: Unit = Unit { name: "GB", size: 1 << 30 };
const REQUESTS: Unit = Unit { name: "10,000 requests", size: 10_000 };

impl Kind {
    pub const ALL: [Kind; 11] = [
        Storage,
        ReadRequests,
        WriteRequests,
        Retrieval,
        ExpeditedRestore,
        StandardRestore,
        BulkRestore,
        InternetDownstream,
        InternetUpstream,
        InternalDownstream,
        InternalUpstream,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Storage => "storage",
            ReadRequests => "read_requests",
            WriteRequests => "write_requests",
            Retrieval => "retrieval",
            ExpeditedRestore => "expedited_restore",
            StandardRestore => "standard_restore",
            BulkRestore => "bulk_restore",
            InternetDownstream => "internet_downstream",
            InternetUpstream => "internet_upstream",
            InternalDownstream => "internal_downstream",
            InternalUpstream => "internal_upstream",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Storage => "storage capacity",
            ReadRequests => "read requests",
            WriteRequests => "write requests",
            Retrieval => "data retrieval",
            ExpeditedRestore => "expedited restore",
            StandardRestore => "standard restore",
            BulkRestore => "bulk restore",
            InternetDownstream => "internet downstream traffic",
            InternetUpstream => "internet upstream traffic",
            InternalDownstream => "internal downstream traffic",
            InternalUpstream => "internal upstream traffic",
        }
    }

    pub fn has_classes(self) -> bool {
        self < InternetDownstream
    }

    pub fn unit(self) -> Unit {
        match self {
            ReadRequests | WriteRequests => REQUESTS,
            _ => GB,
        }
    }

    /// Whether a price is for a unit and a day. Otherwise it is for a unit, whenever.
    pub fn is_by_time(self) -> bool {
        self == Storage
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    pub kind: Kind,
    /// As clients name it; empty where the kind has none.
    pub class: &'static str,
}

impl Item {
    pub fn of_class(kind: Kind, class: &'static str) -> Item {
        Item { kind, class }
    }

    pub fn traffic(kind: Kind) -> Item {
        Item { kind, class: "" }
    }

    /// `storage:STANDARD`, `internet_downstream`.
    pub fn code(self) -> String {
        match self.class {
            "" => self.kind.code().to_owned(),
            class => format!("{}:{class}", self.kind.code()),
        }
    }

    pub fn from_code(code: &str) -> Option<Item> {
        let (kind, class) = code.split_once(':').unwrap_or((code, ""));
        let kind = Kind::ALL.into_iter().find(|known| known.code() == kind)?;
        let class = match class {
            "" => "",
            class => StorageClass::names().find(|known| *known == class)?,
        };
        (kind.has_classes() != class.is_empty()).then_some(Item { kind, class })
    }

    /// What it is part of: `COS STANDARD storage`, `COS traffic`.
    pub fn product(self) -> String {
        match self.class {
            "" => "COS traffic".to_owned(),
            class => format!("COS {class} storage"),
        }
    }

    /// `COS STANDARD storage capacity`, `COS internet downstream traffic`.
    pub fn name(self) -> String {
        match (self.class, self.kind) {
            ("", kind) => format!("COS {}", kind.name()),
            (class, Storage) => format!("COS {class} {}", Storage.name()),
            (class, kind) => format!("COS {class} storage {}", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names() {
        for kind in Kind::ALL {
            let class = if kind.has_classes() { "ARCHIVE" } else { "" };
            let item = Item { kind, class };
            assert_eq!(Item::from_code(&item.code()), Some(item));
        }
        for bad in ["", "storage", "storage:", "storage:COLD", "internet_upstream:ARCHIVE", "ice"] {
            assert_eq!(Item::from_code(bad), None, "{bad}");
        }
        let storage = Item::of_class(Storage, "STANDARD_IA");
        assert_eq!(storage.code(), "storage:STANDARD_IA");
        assert_eq!(storage.name(), "COS STANDARD_IA storage capacity");
        assert_eq!(storage.product(), "COS STANDARD_IA storage");
        let reads = Item::of_class(ReadRequests, "STANDARD");
        assert_eq!(reads.name(), "COS STANDARD storage read requests");
        let out = Item::traffic(InternetDownstream);
        assert_eq!(
            (out.name(), out.product()),
            ("COS internet downstream traffic".into(), "COS traffic".into())
        );
    }
}
