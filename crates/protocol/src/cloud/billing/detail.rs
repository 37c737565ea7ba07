//! A bill, entry by entry: what a bucket has to pay for of a day.

use costrel_core::account::Account;
use costrel_core::bill::{Bill, BillPage, Charge, Entry, Month, TIME_SPAN, date};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::{Answered, Asked, object};
use super::asked;
use super::{
    ACTION_TYPE, ACTION_TYPE_NAME, BUSINESS_CODE, BUSINESS_NAME, PAY_MODE_NAME, PRODUCT_CODE,
    PROJECT_ID, PROJECT_NAME, price_info,
};

const LIMIT_MAX: u64 = 300;

pub(super) fn describe<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let page = asked::page(asked, LIMIT_MAX, "1 to 300")?;
        let (month, filter) = (asked::month_or_span(asked)?, asked::filter(asked)?);
        let BillPage { bill, shown, total } = asked.store.bill_entries(month, filter, page).await?;
        let account = &asked.key.account;
        let shown: Vec<Value> = shown.iter().map(|entry| row(account, &bill, entry)).collect();
        Ok(object([
            ("DetailSet", shown.into()),
            ("Total", total.into()),
            // Pages are found by their offsets, so there is nothing to go on with.
            ("Context", "".into()),
        ]))
    })
}

fn row(account: &Account, bill: &Bill, entry: &Entry) -> Value {
    let (day, bucket, uin) = (date(entry.day), &*entry.bucket, account.uin.to_string());
    let components: Vec<Value> =
        entry.charges.iter().map(|charge| component(bill, charge)).collect();
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
        "BillId": format!("{day}:{}", bucket.name),
        "PayTime": format!("{} 00:00:00", date(entry.day + 1)),
        "FeeBeginTime": format!("{day} 00:00:00"),
        "FeeEndTime": format!("{day} 23:59:59"),
        "ComponentSet": components,
        "PayerUin": uin,
        "OwnerUin": uin,
        "OperateUin": uin,
        "Tags": tags(entry),
        "BusinessCode": BUSINESS_CODE,
        "ProductCode": PRODUCT_CODE,
        "ActionType": ACTION_TYPE,
        "RegionId": bucket.region,
        "ProjectId": PROJECT_ID,
        "PriceInfo": price_info(bill),
        "AssociatedOrder": null,
        "Formula": "SinglePrice * UsedAmount * TimeSpan",
        "FormulaUrl": "",
        "BillDay": day,
        "BillMonth": Month::of_day(entry.day).to_string(),
        "Id": format!("{day}:{}", bucket.name),
        "RegionType": "",
        "RegionTypeName": "",
        "ReserveDetail": "",
        "DiscountObject": "",
        "DiscountType": "",
        "DiscountContent": "",
        "ExtendField": "",
    })
}

pub(super) fn tags(entry: &Entry) -> Value {
    let tags = entry.bucket.tags.iter();
    tags.map(|tag| json!({ "TagKey": tag.name, "TagValue": tag.value })).collect()
}

fn component(bill: &Bill, charge: &Charge) -> Value {
    let (item, unit) = (charge.item, charge.item.kind.unit().name);
    let (price, used) = (charge.price.to_string(), charge.used.to_string());
    let cost = charge.cost().to_string();
    let time_unit = if item.kind.is_by_time() { "day" } else { "" };
    let per_time = if item.kind.is_by_time() { "/day" } else { "" };
    json!({
        "ComponentCodeName": item.product(),
        "ItemCodeName": item.name(),
        "SinglePrice": price,
        "SpecifiedPrice": price,
        "PriceUnit": format!("{}/{unit}{per_time}", bill.currency),
        "UsedAmount": used,
        "UsedAmountUnit": unit,
        "RealTotalMeasure": used,
        "DeductedMeasure": "0",
        "TimeSpan": TIME_SPAN,
        "TimeUnitName": time_unit,
        "Cost": cost,
        "Discount": "1",
        "ReduceType": "",
        "RealCost": cost,
        "VoucherPayAmount": "0",
        "CashPayAmount": cost,
        "IncentivePayAmount": "0",
        "TransferPayAmount": "0",
        "ItemCode": item.code(),
        "ComponentCode": item.kind.code(),
        "ContractPrice": price,
        "InstanceType": "",
        "RiTimeSpan": "0",
        "OriginalCostWithRI": "0",
        "SPDeductionRate": "0",
        "SPDeduction": "0",
        "OriginalCostWithSP": "0",
        "BlendedDiscount": "1",
        "ComponentConfig": [],
    })
}
