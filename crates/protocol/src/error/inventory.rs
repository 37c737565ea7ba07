//! Inventories that are refused.

use costrel_core::inventory::InventoryFault;
use http::StatusCode as S;

use super::{Code, Described};

const FULL: Code = Code::each("InventoryFull", "TooManyConfigurations");

pub(super) fn describe(fault: &InventoryFault) -> Described {
    let argument = Code::both("InvalidArgument");
    let (code, text) = match fault {
        InventoryFault::Id { .. } => (
            Code::each("InvalidArgument", "InvalidConfigurationId"),
            "The specified configuration id is invalid.".into(),
        ),
        InventoryFault::UnknownField(_) => return super::malformed_xml(),
        InventoryFault::TooManyFields { max } => {
            (argument, format!("There may be {max} fields at most."))
        }
        InventoryFault::RepeatedField(field) => {
            (argument, format!("The field {field} is named more than once."))
        }
        InventoryFault::PrefixTooLong { max } => {
            (argument, format!("The prefix may have {max} bytes at most."))
        }
        InventoryFault::MonthDay => (argument, "There is no such day of a month.".into()),
        InventoryFault::Period => (argument, "The period ends before it begins.".into()),
        InventoryFault::Target => (
            Code::each("InvalidArgument", "InvalidS3DestinationBucket"),
            "The destination must be a bucket of the same owner and region that does not retain \
             objects by default."
                .into(),
        ),
        InventoryFault::NoRoom { max } => {
            (FULL, format!("The inventories of a bucket take {max} bytes at most."))
        }
        InventoryFault::Exists => {
            let text = "There is an inventory of that id already.";
            return Described::new(S::CONFLICT, Code::both("OperationAborted"), text);
        }
    };
    Described::new(S::BAD_REQUEST, code, text)
}

pub(super) fn too_many(max: usize) -> Described {
    let text = format!("A bucket has at most {max} inventories.");
    Described::new(S::BAD_REQUEST, FULL, text)
}

pub(super) fn absent() -> Described {
    Described::new(
        S::NOT_FOUND,
        Code::each("InventoryConfigurationNotFoundError", "NoSuchConfiguration"),
        "The specified configuration does not exist.",
    )
}
