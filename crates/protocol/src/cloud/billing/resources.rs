//! A bill, bucket by bucket.

use costrel_core::account::Account;
use costrel_core::bill::{Amount, Bill, Entry, Item, date};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::{Answered, Asked, object};
use super::asked::{self, Filter, Page};
use super::{
    ACTION_TYPE_NAME, BUSINESS_CODE, BUSINESS_NAME, PAY_MODE_NAME, PRODUCT_CODE, PROJECT_NAME,
    amounts, detail, extended,
};

const LIMIT_MAX: u64 = 1000;

pub(super) fn describe<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let page = Page::asked(asked, LIMIT_MAX, "1 to 1000")?;
        let (month, filter) = (asked::month(asked, "Month")?, Filter::asked(asked)?);
        let bill = asked.store.bill(month).await?;
        let account = &asked.key.account;
        let (mut found, mut shown) = (0, Vec::new());
        let mut bucket: Option<Resource> = None;
        let mut done = |resource: Resource| {
            if page.has(found) {
                shown.push(row(account, &bill, &resource));
            }
            found += 1;
            page.is_behind(found)
        };
        let mut reader = asked.store.read_bill(&bill).await;
        'reading: while !filter.nothing
            && let Some(entries) = reader.next().await?
        {
            for entry in entries.into_iter().filter(|entry| filter.admits(entry)) {
                match &mut bucket {
                    Some(bucket) if bucket.first.bucket.name == entry.bucket.name => {
                        bucket.add(&entry);
                    }
                    other => {
                        if other.replace(Resource::new(entry)).is_some_and(&mut done) {
                            break 'reading;
                        }
                    }
                }
            }
        }
        // If the page is full, it is behind it.
        bucket.map(&mut done);
        let total = if page.counted { found.into() } else { Value::Null };
        Ok(object([("ResourceSummarySet", shown.into()), ("Total", total)]))
    })
}

/// All entries of a bucket.
struct Resource {
    first: Entry,
    last_day: u64,
    cost: Amount,
    /// What was used of each item: summed up over the days.
    used: Vec<(Item, Amount)>,
}

impl Resource {
    fn new(first: Entry) -> Resource {
        let entry = first.clone();
        let (last_day, cost) = (entry.day, Amount::default());
        let mut resource = Resource { first, last_day, cost, used: Vec::new() };
        resource.add(&entry);
        resource
    }

    fn add(&mut self, entry: &Entry) {
        self.last_day = entry.day;
        for charge in &entry.charges {
            self.cost += &charge.cost();
            match self.used.iter_mut().find(|(item, _)| *item == charge.item) {
                Some((_, used)) => *used += &charge.used,
                None => self.used.push((charge.item, charge.used.clone())),
            }
        }
    }
}

fn row(account: &Account, bill: &Bill, resource: &Resource) -> Value {
    let (entry, uin) = (&resource.first, account.uin.to_string());
    let bucket = &*entry.bucket;
    let used = resource.used.iter().map(|(item, used)| {
        let days = if item.kind.is_by_time() { " days" } else { "" };
        format!("{}: {used} {}{days}", item.name(), item.kind.unit().name)
    });
    let used: Vec<String> = used.collect();
    extended(
        amounts(&resource.cost),
        json!({
            "BusinessCodeName": BUSINESS_NAME,
            "ProductCodeName": BUSINESS_NAME,
            "PayModeName": PAY_MODE_NAME,
            "ProjectName": PROJECT_NAME,
            "RegionName": bucket.region,
            "ZoneName": "",
            "ResourceId": bucket.name,
            "ResourceName": bucket.name,
            "ActionTypeName": ACTION_TYPE_NAME,
            "OrderId": "",
            "PayTime": format!("{} 00:00:00", date(resource.last_day + 1)),
            "FeeBeginTime": format!("{} 00:00:00", date(entry.day)),
            "FeeEndTime": format!("{} 23:59:59", date(resource.last_day)),
            "ConfigDesc": used.join("; "),
            "ExtendField1": format!("prices: {}", bill.book),
            "ExtendField2": format!("currency: {}", bill.currency),
            "ExtendField3": if bill.is_final() { "final" } else { "estimate" },
            "ExtendField4": "",
            "ExtendField5": "",
            "Discount": "1",
            "ReduceType": "",
            "Tags": detail::tags(entry),
            "PayerUin": uin,
            "OwnerUin": uin,
            "OperateUin": uin,
            "BusinessCode": BUSINESS_CODE,
            "ProductCode": PRODUCT_CODE,
            // The numbers of regions are the vendor's.
            "RegionId": null,
            "InstanceType": "",
            "OriginalCostWithRI": "0",
            "SPDeduction": "0",
            "OriginalCostWithSP": "0",
            "BillMonth": bill.month.to_string(),
        }),
    )
}
