//! Names of log objects, as each service makes them. Times are in UTC.

use super::{Form, Layout, Logging};
use crate::civil::Civil;
use crate::names::BucketName;

/// What a name has behind the prefix, in bytes, at most: S3's partitioned form.
pub(super) const NAME_BYTES_MAX: usize = "000000000000/".len()
    + 64
    + 1
    + 63
    + 1
    + "2026/01/01/".len()
    + "2026-01-01-00-00-00-".len()
    + 16;

const _: () = assert!(crate::limits::BUCKET_NAME_BYTES_MAX == 63);

/// What a log object is of.
pub(super) struct Contents<'a> {
    pub logging: &'a Logging,
    pub bucket: &'a BucketName,
    pub owner_uin: u64,
    pub region: &'a str,
    /// When one of its requests was over; all are of one day.
    pub event_ms: u64,
}

impl Contents<'_> {
    /// `random` keeps names apart, `index` tells objects of one delivery apart.
    pub fn name(&self, delivered_ms: u64, random: [u8; 8], index: u32) -> String {
        let prefix = &self.logging.prefix;
        let now = Civil::of_ms(delivered_ms);
        let Civil { year, month, day, hour, minute, second } = now;
        if self.logging.form() == Form::Cos {
            let random = hex::encode(&random[..4]);
            return format!(
                "{prefix}{year:04}/{month:02}/{day:02}/\
                 {year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}_{random}_{index:03}.gz"
            );
        }
        let unique = hex::encode_upper(random);
        let clock = format!("{hour:02}-{minute:02}-{second:02}");
        let (date, clock) = match self.logging.layout() {
            None | Some(Layout::Simple) => {
                return format!("{prefix}{year:04}-{month:02}-{day:02}-{clock}-{unique}");
            }
            Some(Layout::ByDelivery) => (now, clock),
            // All of a day's have its midnight.
            Some(Layout::ByEvent) => (Civil::of_ms(self.event_ms), "00-00-00".into()),
        };
        let Civil { year, month, day, .. } = date;
        let (owner, region, bucket) = (self.owner_uin, self.region, self.bucket);
        format!(
            "{prefix}{owner:012}/{region}/{bucket}/{year:04}/{month:02}/{day:02}/\
             {year:04}-{month:02}-{day:02}-{clock}-{unique}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let bucket = BucketName::new("examplebucket-1250000000").unwrap();
        let name = |form: Form, layout: u32| {
            let logging =
                Logging { prefix: "logs/".into(), form: form as u32, layout, ..Logging::default() };
            let contents = Contents {
                logging: &logging,
                bucket: &bucket,
                owner_uin: 7,
                region: "ap-guangzhou",
                // 2018-01-01T23:59:59Z
                event_ms: 1_514_851_199_000,
            };
            // Six seconds later.
            contents.name(1_514_851_205_000, [0, 1, 2, 3, 4, 5, 6, 0xab], 2)
        };
        assert_eq!(name(Form::Cos, 0), "logs/2018/01/02/20180102000005_00010203_002.gz");
        let simple = "logs/2018-01-02-00-00-05-00010203040506AB";
        assert_eq!(name(Form::S3, 0), simple);
        assert_eq!(name(Form::S3, Layout::Simple as u32), simple);
        let folder = "logs/000000000007/ap-guangzhou/examplebucket-1250000000/2018/01";
        assert_eq!(
            name(Form::S3, Layout::ByDelivery as u32),
            format!("{folder}/02/2018-01-02-00-00-05-00010203040506AB")
        );
        assert_eq!(
            name(Form::S3, Layout::ByEvent as u32),
            format!("{folder}/01/2018-01-01-00-00-00-00010203040506AB")
        );
    }
}
