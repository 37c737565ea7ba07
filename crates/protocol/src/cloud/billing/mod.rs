//! Billing: what was used, and what it costs.
//!
//! Source: the billing center's API documents, version 2018-07-09.

mod asked;
mod detail;
mod dosage;
mod resources;
mod summaries;

use costrel_core::bill::{Amount, Bill, State};
use serde_json::{Map, Value, json};

use super::{Action, Answer, Service, Signed, not_yet};

pub(super) const SERVICE: Service = Service {
    name: "billing",
    version: "2018-07-09",
    actions: &[
        action(
            "DescribeDosageCosDetailByDate",
            "name/finance:DescribeDosageCosDetailByDate",
            &["StartDate", "EndDate", "BucketName"],
            dosage::by_date,
        ),
        action(
            "DescribeBillDetail",
            "name/finance:DescribeBillDetail",
            &[
                "Offset",
                "Limit",
                "PeriodType",
                "Month",
                "BeginTime",
                "EndTime",
                "NeedRecordNum",
                "ProductCode",
                "PayMode",
                "ResourceId",
                "ActionType",
                "ProjectId",
                "BusinessCode",
                "Context",
                "PayerUin",
            ],
            detail::describe,
        ),
        action(
            "DescribeBillResourceSummary",
            "name/finance:DescribeBillResourceSummary",
            &[
                "Offset",
                "Limit",
                "Month",
                "PeriodType",
                "NeedRecordNum",
                "ActionType",
                "ResourceId",
                "PayMode",
                "BusinessCode",
                "PayerUin",
                "TagKey",
                "TagValue",
            ],
            resources::describe,
        ),
        action(
            "DescribeBillSummary",
            "name/finance:DescribeBillSummary",
            &["Month", "GroupType", "TagKey", "OperateUin", "PayerUin"],
            summaries::by_group,
        ),
        action(
            "DescribeBillSummaryByProduct",
            "name/finance:DescribeBillSummaryByProduct",
            &["BeginTime", "EndTime", "PayerUin", "PayType"],
            summaries::by_product,
        ),
        action(
            "DescribeBillSummaryByPayMode",
            "name/finance:DescribeBillSummaryByPayMode",
            SPAN,
            summaries::by_pay_mode,
        ),
        action(
            "DescribeBillSummaryByRegion",
            "name/finance:DescribeBillSummaryByRegion",
            SPAN,
            summaries::by_region,
        ),
        action(
            "DescribeBillSummaryByProject",
            "name/finance:DescribeBillSummaryByProject",
            SPAN,
            summaries::by_project,
        ),
        action(
            "DescribeBillSummaryByTag",
            "name/finance:DescribeBillSummaryByTag",
            &["BeginTime", "EndTime", "PayerUin", "TagKey", "TagValue"],
            summaries::by_tag,
        ),
        // Nobody pays here, so there is no balance.
        not_yet("DescribeAccountBalance"),
        not_yet("DescribeBillList"),
        not_yet("DescribeBillDownloadUrl"),
        not_yet("DescribeDosageDetailByDate"),
    ],
};

const SPAN: &[&str] = &["BeginTime", "EndTime", "PayerUin"];

/// The one product there is.
const BUSINESS_CODE: &str = "p_cos";
const BUSINESS_NAME: &str = "Cloud Object Storage COS";
const PRODUCT_CODE: &str = "sp_cos";
/// How everything is paid for: afterwards, by the day.
const PAY_MODE: &str = "postPay";
const PAY_MODE_NAME: &str = "Pay-as-you-go";
const ACTION_TYPE: &str = "postpay_deduct_d";
const ACTION_TYPE_NAME: &str = "Daily settlement";
/// What requests call it: they name it as the console in Chinese does.
const ACTION_TYPE_ASKED: &str = "按量计费日结";
const PROJECT_ID: i64 = 0;
const PROJECT_NAME: &str = "Default project";

const fn action(
    name: &'static str,
    permission: &'static str,
    parameters: &'static [&'static str],
    answer: Signed,
) -> Action {
    let answer = Answer::Signed(answer);
    Action { name, permission: Some(permission), parameters, answer }
}

/// What a sum is paid with: all of it in cash, and nothing is taken off.
fn amounts(cost: &Amount) -> Map<String, Value> {
    let cost = cost.to_string();
    super::object([
        ("TotalCost", cost.as_str().into()),
        ("RealTotalCost", cost.as_str().into()),
        ("CashPayAmount", cost.into()),
        ("IncentivePayAmount", "0".into()),
        ("VoucherPayAmount", "0".into()),
        ("TransferPayAmount", "0".into()),
    ])
}

fn extended(mut fields: Map<String, Value>, more: Value) -> Value {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    fields.into()
}

/// Whether a bill is final, as the service says it.
fn ready(bill: &Bill) -> Value {
    i64::from(bill.is_final()).into()
}

/// By which prices, and whether they are final, where there is a place for it.
fn price_info(bill: &Bill) -> Value {
    let state = match bill.state {
        State::Closed { .. } => "final",
        State::Reopened { .. } | State::Open => "estimate",
    };
    json!([format!("prices: {}", bill.book), format!("currency: {}", bill.currency), state])
}
