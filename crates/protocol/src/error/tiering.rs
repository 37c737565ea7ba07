//! Answers to archivings of intelligent tiering that are refused.

use costrel_core::tiering::ArchivingFault;
use http::StatusCode as S;

use super::{Code, Described};

pub(super) fn describe(fault: &ArchivingFault) -> Described {
    let text = match fault {
        ArchivingFault::NoTier => return super::malformed_xml(),
        ArchivingFault::Id { max } => format!("The id must have 1 to {max} characters."),
        ArchivingFault::Days { tier, min, max } => {
            format!("Days for the tier {} must be {min} to {max}.", tier.name())
        }
        ArchivingFault::Order => {
            "Days for the deep archive tier must be more than those for the archive tier.".into()
        }
        ArchivingFault::PrefixTooLong { max } => {
            format!("The maximum size of a prefix is {max}.")
        }
    };
    Described::new(S::BAD_REQUEST, Code::both("InvalidArgument"), text)
}

pub(super) fn too_many(max: usize) -> Described {
    let text = format!("A bucket has at most {max} configurations of intelligent tiering.");
    Described::new(S::BAD_REQUEST, Code::both("TooManyConfigurations"), text)
}
