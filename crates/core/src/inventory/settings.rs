//! Which inventories a bucket has.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::{Column, Frequency, Inventory, manifest, runs_row};
use crate::bucket::Bucket;
use crate::engine::Write;
use crate::error::{Error, Result};
use crate::identified::{AllOf, Identified, identified_row};
use crate::limits::{
    INVENTORIES_BYTES_MAX, INVENTORIES_MAX, INVENTORY_FIELDS_MAX, INVENTORY_ID_CHARS_MAX,
    KEY_BYTES_MAX,
};
use crate::names::BucketName;
use crate::record::BucketRecord;
use crate::store::Store;
use crate::tags::Tags;
use crate::tier::StorageClass;

/// Why an inventory is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryFault {
    #[error("the id is empty, longer than {max} characters, or has others than it may")]
    Id { max: usize },
    #[error("there is no such field: {0}")]
    UnknownField(String),
    #[error("there are more than {max} fields")]
    TooManyFields { max: usize },
    #[error("a field is named twice: {0}")]
    RepeatedField(String),
    #[error("the prefix has more than {max} bytes")]
    PrefixTooLong { max: usize },
    #[error("there is no such day of a month")]
    MonthDay,
    #[error("the period ends before it begins")]
    Period,
    #[error("the target is no bucket, or none that reports may go to")]
    Target,
    #[error("there is one of that id, or it is being made")]
    Exists,
    #[error("a bucket's inventories would take more than {max} bytes")]
    NoRoom { max: usize },
}

/// Longest name of a field, which may be one of the client's metadata.
const FIELD_BYTES_MAX: usize = 256;

impl Identified for Inventory {
    const NAME: &'static str = "inventories";
    const MAX: usize = INVENTORIES_MAX;
    /// A report of the last one may have left files.
    const STAYS_EMPTY: bool = true;

    fn id(&self) -> &str {
        &self.id
    }

    fn too_many() -> Error {
        Error::TooManyInventories { max: INVENTORIES_MAX }
    }

    fn absent() -> Error {
        Error::NoInventory
    }

    fn write_id(record: &BucketRecord) -> Bytes {
        record.inventories.clone()
    }

    fn set_write_id(record: &mut BucketRecord, id: Bytes) {
        record.inventories = id;
    }
}

impl Inventory {
    fn check(&self) -> Result<(), InventoryFault> {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(1..=INVENTORY_ID_CHARS_MAX).contains(&self.id.len()) || !self.id.chars().all(known) {
            return Err(InventoryFault::Id { max: INVENTORY_ID_CHARS_MAX });
        }
        if self.fields.len() > INVENTORY_FIELDS_MAX {
            return Err(InventoryFault::TooManyFields { max: INVENTORY_FIELDS_MAX });
        }
        if let Some(long) = self.fields.iter().find(|field| field.len() > FIELD_BYTES_MAX) {
            return Err(InventoryFault::UnknownField(long.clone()));
        }
        let columns = self.columns()?;
        let repeated = columns.iter().enumerate().find(|(at, one)| columns[..*at].contains(one));
        if let Some((_, column)) = repeated {
            return Err(InventoryFault::RepeatedField(column.name()));
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let room = manifest::prefix_bytes_max(&self.id);
        if prefix.len() > room {
            return Err(InventoryFault::PrefixTooLong { max: room });
        }
        if self.frequency() == Frequency::Monthly && !(1..=31).contains(&self.month_day) {
            return Err(InventoryFault::MonthDay);
        }
        let Some(filter) = &self.filter else { return Ok(()) };
        if filter.prefix.as_ref().is_some_and(|prefix| prefix.len() > KEY_BYTES_MAX) {
            return Err(InventoryFault::PrefixTooLong { max: KEY_BYTES_MAX });
        }
        match (filter.from_s, filter.to_s) {
            (Some(from), Some(to)) if from > to => Err(InventoryFault::Period),
            _ => Ok(()),
        }
    }

    /// What the client has asked for, besides what every row has.
    pub(super) fn columns(&self) -> Result<Vec<Column>, InventoryFault> {
        let form = self.form();
        let column = |field: &String| {
            Column::named(field, form).ok_or_else(|| InventoryFault::UnknownField(field.clone()))
        };
        self.fields.iter().map(column).collect()
    }
}

impl Store {
    /// Adds an inventory, or replaces the one of its id. One that is refused leaves the
    /// old one in force. Answers its token.
    pub async fn set_inventory(
        self: &Arc<Self>,
        bucket: &Bucket,
        mut inventory: Inventory,
    ) -> Result<Bytes> {
        self.check_inventory(bucket, &inventory).await?;
        inventory.token = self.fresh_id();
        self.change_identified(bucket, |all: &mut Vec<Inventory>| {
            match all.binary_search_by(|other| other.id.cmp(&inventory.id)) {
                // What is to be done once is not replaced while it is under way, and is
                // not there any more when it is done.
                Ok(at) if [&all[at], &inventory].iter().any(|one| one.is_once()) => {
                    return Err(InventoryFault::Exists.into());
                }
                Ok(at) => all[at] = inventory.clone(),
                Err(_) if all.len() >= Inventory::MAX => return Err(Inventory::too_many()),
                Err(at) => all.insert(at, inventory.clone()),
            }
            // Every change writes all of them.
            match all.iter().map(Inventory::encoded_len).sum::<usize>() > INVENTORIES_BYTES_MAX {
                true => Err(InventoryFault::NoRoom { max: INVENTORIES_BYTES_MAX }.into()),
                false => Ok(()),
            }
        })
        .await?;
        self.inventories_changed.notify_one();
        Ok(inventory.token)
    }

    async fn check_inventory(&self, bucket: &Bucket, inventory: &Inventory) -> Result<()> {
        inventory.check()?;
        if let Some(filter) = &inventory.filter {
            Tags::of_object(filter.tags.clone())?;
            if !filter.class.is_empty() && StorageClass::from_name(&filter.class).is_none() {
                return Err(Error::InvalidStorageClass);
            }
        }
        if BucketName::new(&inventory.target).is_err() {
            return Err(InventoryFault::Target.into());
        }
        let target = match self.bucket(&inventory.target).await {
            Err(Error::NoSuchBucket) => return Err(InventoryFault::Target.into()),
            other => other?,
        };
        let retains =
            target.settings().lock.as_ref().is_some_and(|lock| lock.default_retention.is_some());
        let is_named_so = |account: &String| {
            let number = account.parse::<u64>().ok();
            number.is_some_and(|n| n == target.owner_uin || Some(n) == target.name.appid())
        };
        if !inventory.account.as_ref().is_none_or(is_named_so)
            || target.owner_uin != bucket.owner_uin
            || target.region != bucket.region
            || retains
        {
            return Err(InventoryFault::Target.into());
        }
        Ok(())
    }

    pub async fn delete_inventory(self: &Arc<Self>, bucket: &Bucket, id: &str) -> Result<()> {
        self.delete_identified::<Inventory>(bucket, id).await?;
        self.inventories_changed.notify_one();
        Ok(())
    }

    /// A bucket without inventories has no row of them any more, and none of its reports,
    /// if these were the last that it has.
    pub(super) async fn forget_inventories(
        self: &Arc<Self>,
        bucket: &Bucket,
        write_id: Bytes,
    ) -> Result<()> {
        let forget = move |record: &mut BucketRecord| {
            if record.inventories != write_id {
                return Ok(Vec::new());
            }
            record.inventories = Bytes::new();
            Ok([identified_row::<Inventory>(), runs_row()].map(Write::Delete).into())
        };
        self.change_rows(bucket, forget).await
    }

    /// A bucket's inventories, in the order of their ids.
    pub async fn inventories(&self, bucket: &Bucket) -> Result<AllOf<Inventory>> {
        match bucket.settings().inventories.is_empty() {
            true => Ok(AllOf::default()),
            false => self.stored_identified(bucket).await,
        }
    }
}

impl Inventory {
    pub fn is_once(&self) -> bool {
        self.frequency() == Frequency::Once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Filter, Form};

    fn inventory(form: Form, fields: &[&str]) -> Inventory {
        Inventory {
            id: "a".into(),
            enabled: true,
            form: form as u32,
            frequency: Frequency::Daily as u32,
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn inventories_that_cannot_be() {
        let check = |change: fn(&mut Inventory), want: Option<InventoryFault>| {
            let mut inventory = inventory(Form::S3, &["Size", "ETag"]);
            change(&mut inventory);
            assert_eq!(inventory.check().err(), want);
        };
        let id = Some(InventoryFault::Id { max: 64 });
        check(|_| (), None);
        check(|i| i.id = "aZ9-_.".into(), None);
        check(|i| i.id.clear(), id.clone());
        check(|i| i.id = "x".repeat(65), id.clone());
        check(|i| i.id = "a/b".into(), id.clone());
        check(|i| i.id = "ä".into(), id);
        let unknown = |name: &str| Some(InventoryFault::UnknownField(name.into()));
        check(|i| i.fields.push("Colour".into()), unknown("Colour"));
        check(|i| i.fields.push("Crc64".into()), unknown("Crc64"));
        let repeated = Some(InventoryFault::RepeatedField("Size".into()));
        check(|i| i.fields.push("Size".into()), repeated);
        let monthly = |i: &mut Inventory| i.frequency = Frequency::Monthly as u32;
        check(monthly, Some(InventoryFault::MonthDay));
        let late = |i: &mut Inventory| (i.frequency, i.month_day) = (Frequency::Monthly as u32, 32);
        check(late, Some(InventoryFault::MonthDay));
        let of_prefix = |max| Some(InventoryFault::PrefixTooLong { max });
        let long = |i: &mut Inventory| {
            i.filter = Some(Filter { prefix: Some("x".repeat(1025)), ..Default::default() });
        };
        check(long, of_prefix(1024));
        check(|i| i.prefix = Some("x".repeat(1024)), of_prefix(manifest::prefix_bytes_max("a")));
        let backwards = |i: &mut Inventory| {
            i.filter = Some(Filter { from_s: Some(2), to_s: Some(1), ..Default::default() });
        };
        check(backwards, Some(InventoryFault::Period));
    }

    #[test]
    fn fields_have_bounds() {
        let many: Vec<String> = (0..65).map(|n| format!("x-cos-meta-{n}")).collect();
        let check = |fields: &[String]| {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            inventory(Form::Cos, &fields).check()
        };
        assert_eq!(check(&many), Err(InventoryFault::TooManyFields { max: 64 }));
        assert_eq!(check(&many[1..]), Ok(()));
        let long = format!("x-cos-meta-{}", "x".repeat(256));
        assert_eq!(check(std::slice::from_ref(&long)), Err(InventoryFault::UnknownField(long)));
    }

    #[test]
    fn each_service_has_its_fields() {
        let refused = |form, field: &str| inventory(form, &[field]).check().is_err();
        for field in ["Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded"] {
            assert!(!refused(Form::Cos, field) && !refused(Form::S3, field), "{field}");
        }
        for field in ["Tag", "Crc64", "x-cos-meta-colour", "x-cos-meta-*"] {
            assert!(!refused(Form::Cos, field) && refused(Form::S3, field), "{field}");
        }
        for field in ["ObjectLockMode", "ChecksumAlgorithm", "LifecycleExpirationDate"] {
            assert!(refused(Form::Cos, field) && !refused(Form::S3, field), "{field}");
        }
    }
}
