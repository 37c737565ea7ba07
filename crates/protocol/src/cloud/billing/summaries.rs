//! Sums of a month's bill, by what they are of.

use std::collections::BTreeMap;

use costrel_core::bill::{Amount, Bill, Entry, Month};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::{Answered, Asked, CloudFailure, object};
use super::{
    ACTION_TYPE, ACTION_TYPE_NAME, BUSINESS_CODE, BUSINESS_NAME, PAY_MODE, PAY_MODE_NAME,
    PROJECT_ID, PROJECT_NAME, amounts, asked, extended, ready,
};

/// A month's costs by the groups that its entries are in.
struct Sums {
    bill: Bill,
    total: Amount,
    groups: BTreeMap<String, Amount>,
    /// Whether no bucket had what they are grouped by.
    ungrouped: bool,
}

/// Sums up what there is a group for; `group` is `None` for what has nothing of the kind.
async fn sums(
    asked: &Asked<'_>,
    month: Month,
    group: impl Fn(&Entry) -> Option<String> + Send,
    admits: impl Fn(Option<&str>) -> bool + Send,
) -> Result<Sums, CloudFailure> {
    asked::payer(asked)?;
    let bill = asked.store.bill(month).await?;
    let (mut total, mut groups) = (Amount::default(), BTreeMap::<String, Amount>::new());
    let mut ungrouped = true;
    let mut reader = asked.store.read_bill(&bill).await;
    while let Some(entries) = reader.next().await? {
        for entry in &entries {
            let group = group(entry);
            ungrouped &= group.is_none();
            if !admits(group.as_deref()) {
                continue;
            }
            let cost = entry.cost();
            total += &cost;
            *groups.entry(group.unwrap_or_default()).or_default() += &cost;
        }
    }
    drop(reader);
    Ok(Sums { bill, total, groups, ungrouped })
}

impl Sums {
    fn rows(&self, row: impl Fn(&str, &Amount) -> Value) -> Vec<Value> {
        self.groups
            .iter()
            .map(|(group, cost)| {
                let mut fields = amounts(cost);
                fields.insert("RealTotalCostRatio".into(), cost.percent_of(&self.total).into());
                extended(fields, row(group, cost))
            })
            .collect()
    }

    fn answer(&self, rows: Vec<Value>) -> Answered {
        Ok(object([("Ready", ready(&self.bill)), ("SummaryOverview", rows.into())]))
    }

    fn month(&self) -> String {
        self.bill.month.to_string()
    }
}

/// There is one group.
fn one(_: &Entry) -> Option<String> {
    Some(String::new())
}

fn any(_: Option<&str>) -> bool {
    true
}

pub(super) fn by_product<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let month = asked::span(asked)?;
        let is_consumed = match asked.call.text("PayType")? {
            None | Some("" | "consume") => true,
            // Nothing is ever given back or corrected.
            Some("refund" | "adjustment") => false,
            Some(_) => {
                let want = "consume, refund or adjustment";
                return Err(CloudFailure::Unwanted { parameter: "PayType", want });
            }
        };
        let sums = sums(asked, month, one, |_| is_consumed).await?;
        let rows = sums.rows(|_, _| {
            json!({
                "BusinessCode": BUSINESS_CODE,
                "BusinessCodeName": BUSINESS_NAME,
                "BillMonth": sums.month(),
            })
        });
        let mut answer = sums.answer(rows)?;
        answer.insert("SummaryTotal".into(), amounts(&sums.total).into());
        Ok(answer)
    })
}

pub(super) fn by_pay_mode<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let sums = sums(asked, asked::span(asked)?, one, any).await?;
        let rows = sums.rows(|_, cost| {
            let mut action = amounts(cost);
            action.insert("RealTotalCostRatio".into(), cost.percent_of(&sums.total).into());
            let action = extended(
                action,
                json!({
                    "ActionType": ACTION_TYPE,
                    "ActionTypeName": ACTION_TYPE_NAME,
                    "BillMonth": sums.month(),
                }),
            );
            json!({ "PayMode": PAY_MODE, "PayModeName": PAY_MODE_NAME, "Detail": [action] })
        });
        sums.answer(rows)
    })
}

fn region(entry: &Entry) -> Option<String> {
    Some(entry.bucket.region.clone())
}

pub(super) fn by_region<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let sums = sums(asked, asked::span(asked)?, region, any).await?;
        sums.answer(sums.rows(|region, _| {
            json!({ "RegionId": region, "RegionName": region, "BillMonth": sums.month() })
        }))
    })
}

pub(super) fn by_project<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let sums = sums(asked, asked::span(asked)?, one, any).await?;
        sums.answer(sums.rows(|_, _| {
            json!({
                "ProjectId": PROJECT_ID.to_string(),
                "ProjectName": PROJECT_NAME,
                "BillMonth": sums.month(),
            })
        }))
    })
}

/// What has no such tag is in the group of the empty value.
pub(super) fn by_tag<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let month = asked::span(asked)?;
        let key = asked.call.required("TagKey")?;
        let value = asked.call.text("TagValue")?;
        let tag = |entry: &Entry| entry.bucket.tag(key).map(str::to_owned);
        let admits =
            |found: Option<&str>| value.is_none_or(|value| found.unwrap_or_default() == value);
        let sums = sums(asked, month, tag, admits).await?;
        if sums.ungrouped {
            return Err(CloudFailure::NoTagKey);
        }
        let mut answer = sums.answer(sums.rows(|value, _| json!({ "TagValue": value })))?;
        let total = sums.total.to_string();
        answer.insert("SummaryTotal".into(), json!({ "RealTotalCost": total, "TotalCost": total }));
        Ok(answer)
    })
}

pub(super) fn by_group<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let month = asked::month(asked, "Month")?;
        let keys = asked.call.texts("TagKey")?;
        let kind = asked.call.required("GroupType")?;
        let key = match (kind, &keys[..]) {
            ("tag", [key]) => key,
            ("tag", []) => return Err(CloudFailure::Missing("TagKey")),
            ("tag", _) => return Err(CloudFailure::Unsupported("more than one TagKey")),
            _ => "",
        };
        // Whoever makes requests, it is the account that runs the buckets.
        let account = asked.key.account.uin.to_string();
        let operator = asked.call.text("OperateUin")?.filter(|uin| !uin.is_empty());
        let is_meant = operator.is_none_or(|uin| uin == account);
        let group = |entry: &Entry| match kind {
            "region" => region(entry),
            "tag" => entry.bucket.tag(key).map(str::to_owned),
            _ => one(entry),
        };
        let named: fn(&str) -> (&str, &str) = match kind {
            "business" => |_| (BUSINESS_CODE, BUSINESS_NAME),
            "project" => |_| ("0", PROJECT_NAME),
            "payMode" => |_| (PAY_MODE, PAY_MODE_NAME),
            "region" | "tag" => |group| (group, group),
            _ => {
                let want = "business, project, region, payMode or tag";
                return Err(CloudFailure::Unwanted { parameter: "GroupType", want });
            }
        };
        let sums = sums(asked, month, group, |_| is_meant).await?;
        let rows = sums.groups.iter().map(|(group, cost)| {
            let (key, value) = named(group);
            let business = extended(
                amounts(cost),
                json!({ "BusinessCode": BUSINESS_CODE, "BusinessCodeName": BUSINESS_NAME }),
            );
            extended(
                amounts(cost),
                json!({ "GroupKey": key, "GroupValue": value, "Business": [business] }),
            )
        });
        let rows: Vec<Value> = rows.collect();
        Ok(object([("Ready", ready(&sums.bill)), ("SummaryDetail", rows.into())]))
    })
}
