//! The host names of the real services.

use crate::dialect::Dialect;

use super::Endpoint;

/// What a host name says about a request.
#[derive(Debug)]
pub(super) struct HostFacts {
    pub dialect: Option<Dialect>,
    pub endpoint: Endpoint,
    pub bucket: Option<String>,
    pub region: Option<String>,
}

impl HostFacts {
    pub fn path_style(dialect: Option<Dialect>) -> HostFacts {
        HostFacts::plain(None, dialect)
    }

    pub fn plain(bucket: Option<&str>, dialect: Option<Dialect>) -> HostFacts {
        HostFacts {
            dialect,
            endpoint: Endpoint::Rest,
            bucket: bucket.map(str::to_owned),
            region: None,
        }
    }
}

/// Host codes of COS from before regions were named as today, with the region
/// they became. `<bucket>.cossh.myqcloud.com`, `<bucket>.cn-east.myqcloud.com`.
const COS_ALIASES: [(&str, &str); 16] = [
    ("cosbj", "ap-beijing"),
    ("costj", "ap-beijing-1"),
    ("cn-north", "ap-beijing-1"),
    ("cossh", "ap-shanghai"),
    ("cn-east", "ap-shanghai"),
    ("cosgz", "ap-guangzhou"),
    ("cn-south", "ap-guangzhou"),
    ("cn-south-2", "ap-guangzhou-2"),
    ("coscd", "ap-chengdu"),
    ("cn-southwest", "ap-chengdu"),
    ("coshk", "ap-hongkong"),
    ("hk", "ap-hongkong"),
    ("cossgp", "ap-singapore"),
    ("sg", "ap-singapore"),
    ("cosca", "na-toronto"),
    ("cosger", "eu-frankfurt"),
];

const COS_DOMAINS: [&str; 2] = [".myqcloud.com", ".tencentcos.cn"];

/// Reads `[<bucket>.]cos[-internal…].<region>.myqcloud.com` and its relatives.
pub(super) fn cos(name: &str) -> Option<HostFacts> {
    let front = COS_DOMAINS.iter().find_map(|domain| name.strip_suffix(domain))?;
    let labels: Vec<&str> = front.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    let bucket = |labels: &[&str]| (!labels.is_empty()).then(|| labels.join("."));
    let facts = |endpoint, bucket, region: Option<&str>| HostFacts {
        dialect: Some(Dialect::Cos),
        endpoint,
        bucket,
        region: region.map(str::to_owned),
    };

    if let [before @ .., kind, place] = labels.as_slice()
        && let Some(endpoint) = cos_endpoint(kind)
    {
        return Some(match (endpoint, *place) {
            (Endpoint::Rest, "accelerate") => facts(Endpoint::Accelerate, bucket(before), None),
            // Before the label stands the account, which no path needs.
            (Endpoint::Control, place) => facts(endpoint, None, Some(place)),
            (endpoint, place) => facts(endpoint, bucket(before), Some(place)),
        });
    }
    match labels.as_slice() {
        [region, "migration"] => Some(facts(Endpoint::Fetch, None, Some(region))),
        ["cos" | "cos-internal"] | ["service", "cos" | "cos-internal"] => {
            Some(facts(Endpoint::Service, None, None))
        }
        [before @ .., code] => {
            let (_, region) = COS_ALIASES.iter().find(|(alias, _)| alias == code)?;
            Some(facts(Endpoint::Rest, bucket(before), Some(region)))
        }
        [] => None,
    }
}

fn cos_endpoint(label: &str) -> Option<Endpoint> {
    match label {
        "cos" | "cos-internal" | "cosv6" | "cos-cdc" => Some(Endpoint::Rest),
        "cos-website" | "cos-website-internal" => Some(Endpoint::Website),
        "cos-control" => Some(Endpoint::Control),
        _ => None,
    }
}

const S3_DOMAINS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

/// Reads `[<bucket>.]s3[.dualstack][.<region>].amazonaws.com`, the older
/// `s3-<region>` and the website and accelerate hosts. A bucket's name may have
/// dots and even a label `s3`, so the last label that fits is the service.
pub(super) fn s3(name: &str) -> Option<HostFacts> {
    let front = S3_DOMAINS.iter().find_map(|domain| name.strip_suffix(domain))?;
    let labels: Vec<&str> = front.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    (0..labels.len()).rev().find_map(|at| {
        let (endpoint, region) = s3_service(labels[at], &labels[at + 1..])?;
        Some(HostFacts {
            dialect: Some(Dialect::S3),
            endpoint,
            bucket: (at > 0).then(|| labels[..at].join(".")),
            region: region.map(str::to_owned),
        })
    })
}

fn s3_service<'a>(label: &'a str, after: &[&'a str]) -> Option<(Endpoint, Option<&'a str>)> {
    let region = match after {
        [] | ["dualstack"] => None,
        [region] | ["dualstack", region] => Some(*region),
        _ => return None,
    };
    match (label, label.strip_prefix("s3-")) {
        ("s3" | "s3-fips" | "s3-external-1", _) => Some((Endpoint::Rest, region)),
        ("s3-accelerate", _) => Some((Endpoint::Accelerate, None)),
        ("s3-website", _) => Some((Endpoint::Website, region)),
        (_, Some(rest)) => match rest.strip_prefix("website-") {
            Some(region) => Some((Endpoint::Website, Some(region))),
            None if rest.contains('-') && region.is_none() => Some((Endpoint::Rest, Some(rest))),
            None => None,
        },
        _ => None,
    }
}
