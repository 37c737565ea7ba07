//! A bill, bucket by bucket.

use costrel_core::account::Account;
use costrel_core::bill::{Bill, BillPage, BucketBill, date};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::{Answered, Asked, object};
use super::{
    ACTION_TYPE_NAME, BUSINESS_CODE, BUSINESS_NAME, PAY_MODE_NAME, PRODUCT_CODE, PROJECT_NAME,
    amounts, asked, detail, extended,
};

const LIMIT_MAX: u64 = 1000;

pub(super) fn describe<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let page = asked::page(asked, LIMIT_MAX, "1 to 1000")?;
        let (month, filter) = (asked::month(asked, "Month")?, asked::filter(asked)?);
        let BillPage { bill, shown, total } = asked.store.bill_buckets(month, filter, page).await?;
        let account = &asked.key.account;
        let shown: Vec<Value> = shown.iter().map(|bucket| row(account, &bill, bucket)).collect();
        Ok(object([("ResourceSummarySet", shown.into()), ("Total", total.into())]))
    })
}

fn row(account: &Account, bill: &Bill, resource: &BucketBill) -> Value {
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
