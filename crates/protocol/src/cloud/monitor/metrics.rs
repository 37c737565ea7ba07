//! The metrics of buckets: names and units as COS has them, and what each is made of.
//!
//! Source: the monitoring metrics of COS in Tencent Cloud's documentation.

use costrel_core::usage::{Figures, Held, Traffic};

/// What a metric says of a period.
#[derive(Clone, Copy)]
pub enum Measure {
    /// Something that is counted, and adds up.
    Count(fn(&Figures, &[u32]) -> u64),
    /// A share in all requests of the period, in hundredths.
    Share(fn(&Figures, &[u32]) -> u64),
    /// What there is at the end of the period, and its unit's size.
    Amount(fn(&Held, &[u32]) -> u64, u32),
}

pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    pub english: &'static str,
    pub measure: Measure,
    /// Storage classes, or statuses, that count.
    pub of: &'static [u32],
}

/// What everybody may ask for, in seconds. Amounts are looked at every five minutes.
const PERIODS: [u64; 4] = [60, 300, 3600, 86_400];

impl Metric {
    pub fn periods(&self) -> &'static [u64] {
        match self.measure {
            Measure::Amount(..) => &PERIODS[1..],
            _ => &PERIODS,
        }
    }

    /// How what a shorter period says makes a longer one's.
    pub fn statistic(&self) -> &'static str {
        match self.measure {
            Measure::Count(_) => "sum",
            Measure::Share(_) => "avg",
            Measure::Amount(..) => "last",
        }
    }

    pub fn find(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.name == name)
    }
}

/// Numbers of classes (`docs/formats/rows.md`). Each class is in one group, so that what
/// COS's guide says holds: a bucket's size is the sum of the metrics of storage.
const STD: &[u32] = &[0, 9, 13, 14, 15, 16, 255];
const MAZ_STD: &[u32] = &[5];
const IA: &[u32] = &[1, 10, 12];
const MAZ_IA: &[u32] = &[6];
const IT: &[u32] = &[2];
const MAZ_IT: &[u32] = &[7];
const ARC: &[u32] = &[3, 8, 11];
const DEEP_ARC: &[u32] = &[4];
const ALL: &[u32] = &[];

fn reads(figures: &Figures, of: &[u32]) -> u64 {
    let classes = figures.classes.iter().filter(|class| of.contains(&class.class));
    classes.map(|class| class.reads).sum()
}

fn writes(figures: &Figures, of: &[u32]) -> u64 {
    let classes = figures.classes.iter().filter(|class| of.contains(&class.class));
    classes.map(|class| class.writes).sum()
}

fn retrieved(figures: &Figures, of: &[u32]) -> u64 {
    let classes = figures.classes.iter().filter(|class| of.contains(&class.class));
    classes.map(|class| class.retrieved_bytes).sum()
}

fn all_reads(figures: &Figures, _: &[u32]) -> u64 {
    figures.reads()
}

fn all_writes(figures: &Figures, _: &[u32]) -> u64 {
    figures.writes()
}

fn all_requests(figures: &Figures, _: &[u32]) -> u64 {
    figures.reads().saturating_add(figures.writes())
}

/// Single statuses, or whole hundreds of them by their first digit.
fn answered(figures: &Figures, of: &[u32]) -> u64 {
    let counts = |status: u32| of.contains(&status) || of.contains(&(status / 100));
    let statuses = figures.statuses.iter().filter(|known| counts(known.status));
    statuses.map(|known| known.requests).sum()
}

fn traffic(figures: &Figures) -> Traffic {
    figures.traffic.unwrap_or_default()
}

fn internet_out(figures: &Figures, _: &[u32]) -> u64 {
    traffic(figures).internet_out
}

fn internet_in(figures: &Figures, _: &[u32]) -> u64 {
    traffic(figures).internet_in
}

fn internal_out(figures: &Figures, _: &[u32]) -> u64 {
    traffic(figures).internal_out
}

fn internal_in(figures: &Figures, _: &[u32]) -> u64 {
    traffic(figures).internal_in
}

fn all_in(figures: &Figures, _: &[u32]) -> u64 {
    let traffic = traffic(figures);
    traffic.internet_in.saturating_add(traffic.internal_in)
}

/// With the parts of open uploads, which are billed as well.
fn bytes(held: &Held, of: &[u32]) -> u64 {
    let classes = held.classes.iter().filter(|class| of.contains(&class.class));
    let bytes: u64 = classes.map(|class| class.bytes.saturating_add(class.part_bytes)).sum();
    // Of those that did not count by class.
    let standard = if of.contains(&0) { held.part_bytes } else { 0 };
    bytes.saturating_add(standard)
}

fn objects(held: &Held, of: &[u32]) -> u64 {
    let classes = held.classes.iter().filter(|class| of.contains(&class.class));
    classes.map(|class| class.objects).sum()
}

fn uploads(held: &Held, of: &[u32]) -> u64 {
    let classes = held.classes.iter().filter(|class| of.contains(&class.class));
    classes.map(|class| class.uploads).sum()
}

const MIB: u32 = 1 << 20;

type Row = (&'static str, &'static str, &'static str, Measure, &'static [u32]);

const fn metric((name, unit, english, measure, of): Row) -> Metric {
    Metric { name, unit, english, measure, of }
}

macro_rules! metrics {
    ($( $unit:literal, $measure:expr => { $( $name:literal $of:expr, $english:literal; )+ } )+) => {
        pub const METRICS: &[Metric] =
            &[$($( metric(($name, $unit, $english, $measure, $of)), )+)+];
    };
}

metrics! {
    "Count", Measure::Count(reads) => {
        "StdReadRequests" STD, "Read requests, STANDARD";
        "MazStdReadRequests" MAZ_STD, "Read requests, MAZ_STANDARD";
        "IaReadRequests" IA, "Read requests, STANDARD_IA";
        "MazIaReadRequests" MAZ_IA, "Read requests, MAZ_STANDARD_IA";
        "DeepArcReadRequests" DEEP_ARC, "Read requests, DEEP_ARCHIVE";
        "ItReadRequests" IT, "Read requests, INTELLIGENT_TIERING";
        "MazItReadRequests" MAZ_IT, "Read requests, MAZ_INTELLIGENT_TIERING";
    }
    "Count", Measure::Count(writes) => {
        "StdWriteRequests" STD, "Write requests, STANDARD";
        "MazStdWriteRequests" MAZ_STD, "Write requests, MAZ_STANDARD";
        "IaWriteRequests" IA, "Write requests, STANDARD_IA";
        "MazIaWriteRequests" MAZ_IA, "Write requests, MAZ_STANDARD_IA";
        "DeepArcWriteRequests" DEEP_ARC, "Write requests, DEEP_ARCHIVE";
        "ItWriteRequests" IT, "Write requests, INTELLIGENT_TIERING";
        "MazItWriteRequests" MAZ_IT, "Write requests, MAZ_INTELLIGENT_TIERING";
    }
    "Count", Measure::Count(all_requests) => {
        "TotalRequests" ALL, "All requests";
    }
    "Count", Measure::Count(all_reads) => {
        "GetRequests" ALL, "Read requests of all classes";
    }
    "Count", Measure::Count(all_writes) => {
        "PutRequests" ALL, "Write requests of all classes";
    }
    "MB", Measure::Amount(bytes, MIB) => {
        "StdStorage" STD, "Size of objects and parts, STANDARD";
        "MazStdStorage" MAZ_STD, "Size of objects and parts, MAZ_STANDARD";
        "SiaStorage" IA, "Size of objects and parts, STANDARD_IA";
        "MazIaStorage" MAZ_IA, "Size of objects and parts, MAZ_STANDARD_IA";
        "ItFreqStorage" IT, "Size of objects and parts, INTELLIGENT_TIERING in all its tiers";
        "MazItFreqStorage" MAZ_IT, "Size of objects and parts, MAZ_INTELLIGENT_TIERING in all its tiers";
        "ArcStorage" ARC, "Size of objects and parts, ARCHIVE";
        "DeepArcStorage" DEEP_ARC, "Size of objects and parts, DEEP_ARCHIVE";
    }
    "Count", Measure::Amount(objects, 1) => {
        "StdObjectNumber" STD, "Objects and versions, STANDARD";
        "MazStdObjectNumber" MAZ_STD, "Objects and versions, MAZ_STANDARD";
        "IaObjectNumber" IA, "Objects and versions, STANDARD_IA";
        "MazIaObjectNumber" MAZ_IA, "Objects and versions, MAZ_STANDARD_IA";
        "ItFreqObjectNumber" IT, "Objects and versions, INTELLIGENT_TIERING in all its tiers";
        "MazItFreqObjectNumber" MAZ_IT,
            "Objects and versions, MAZ_INTELLIGENT_TIERING in all its tiers";
        "ArcObjectNumber" ARC, "Objects and versions, ARCHIVE";
        "DeepArcObjectNumber" DEEP_ARC, "Objects and versions, DEEP_ARCHIVE";
    }
    "Count", Measure::Amount(uploads, 1) => {
        "StdMultipartNumber" STD, "Open uploads, STANDARD";
        "MazStdMultipartNumber" MAZ_STD, "Open uploads, MAZ_STANDARD";
        "IaMultipartNumber" IA, "Open uploads, STANDARD_IA";
        "MazIaMultipartNumber" MAZ_IA, "Open uploads, MAZ_STANDARD_IA";
        "ItFrequentMultipartNumber" IT, "Open uploads, INTELLIGENT_TIERING";
        "MazItFrequentMultipartNumber" MAZ_IT, "Open uploads, MAZ_INTELLIGENT_TIERING";
        "ArcMultipartNumber" ARC, "Open uploads, ARCHIVE";
        "DeepArcMultipartNumber" DEEP_ARC, "Open uploads, DEEP_ARCHIVE";
    }
    "B", Measure::Count(internet_out) => {
        "InternetTraffic" ALL, "Bytes sent to clients elsewhere";
    }
    "B", Measure::Count(internet_in) => {
        "InternetTrafficUp" ALL, "Bytes received from clients elsewhere";
    }
    "B", Measure::Count(internal_out) => {
        "InternalTraffic" ALL, "Bytes sent to clients on internal networks";
    }
    "B", Measure::Count(internal_in) => {
        "InternalTrafficUp" ALL, "Bytes received from clients on internal networks";
    }
    "B", Measure::Count(all_in) => {
        "InboundTraffic" ALL, "Bytes received from all clients";
    }
    "Count", Measure::Count(answered) => {
        "2xxResponse" &[2], "Answers with a status of 200 to 299";
        "3xxResponse" &[3], "Answers with a status of 300 to 399";
        "4xxResponse" &[4], "Answers with a status of 400 to 499";
        "5xxResponse" &[5], "Answers with a status of 500 to 599";
        "400Response" &[400], "Answers with status 400";
        "403Response" &[403], "Answers with status 403";
        "404Response" &[404], "Answers with status 404";
    }
    "%", Measure::Share(answered) => {
        "2xxResponseRate" &[2], "Share of answers with a status of 200 to 299";
        "3xxResponseRate" &[3], "Share of answers with a status of 300 to 399";
        "4xxResponseRate" &[4], "Share of answers with a status of 400 to 499";
        "5xxResponseRate" &[5], "Share of answers with a status of 500 to 599";
        "400ResponseRate" &[400], "Share of answers with status 400";
        "403ResponseRate" &[403], "Share of answers with status 403";
        "404ResponseRate" &[404], "Share of answers with status 404";
        "500ResponseRate" &[500], "Share of answers with status 500";
        "501ResponseRate" &[501], "Share of answers with status 501";
        "502ResponseRate" &[502], "Share of answers with status 502";
        "503ResponseRate" &[503], "Share of answers with status 503";
    }
    "B", Measure::Count(retrieved) => {
        "StdRetrieval" STD, "Bytes of objects' content read, STANDARD";
        "IaRetrieval" IA, "Bytes of objects' content read, STANDARD_IA";
    }
}

#[cfg(test)]
mod tests {
    use costrel_core::tier::StorageClass;
    use costrel_core::usage::class_number;

    use super::*;

    #[test]
    fn each_class_is_in_one_group() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        let groups = [STD, MAZ_STD, IA, MAZ_IA, IT, MAZ_IT, ARC, DEEP_ARC];
        for class in StorageClass::names() {
            let number = u32::from(class_number(class));
            let holding = groups.iter().filter(|group| group.contains(&number));
            assert_eq!(holding.count(), 1, "{class}");
        }
    }
}
