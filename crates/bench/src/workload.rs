//! What a run does again and again, and with how much.

use std::time::Duration;

use crate::keys::KeySpace;
use crate::payload::Data;

/// Work that is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Write objects number 0, 1, 2, …
    Put,
    /// Read whole random objects
    Get,
    /// Ask for the metadata of random objects
    Head,
    /// Read a random range of random objects
    Range,
    /// Delete each object once
    Delete,
    /// List a page from a random place on
    List,
    /// List the first level with the delimiter `/`
    ListDelimiter,
    /// Random choice of get, put, head, delete and list
    Mixed,
    /// Initiate an upload, send the parts one after another, complete
    Multipart,
}

impl Workload {
    /// Whether the objects must exist before.
    pub fn needs_objects(self) -> bool {
        !matches!(self, Workload::Put | Workload::Multipart)
    }

    /// Whether each run works on objects of its own, numbered in sequence.
    pub fn uses_up_numbers(self) -> bool {
        matches!(self, Workload::Put | Workload::Multipart)
    }

    pub fn name(self) -> &'static str {
        match self {
            Workload::Put => "put",
            Workload::Get => "get",
            Workload::Head => "head",
            Workload::Range => "range",
            Workload::Delete => "delete",
            Workload::List => "list",
            Workload::ListDelimiter => "list-delimiter",
            Workload::Mixed => "mixed",
            Workload::Multipart => "multipart",
        }
    }
}

/// What one latency belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Put,
    Get,
    Head,
    Range,
    Delete,
    List,
    ListDelimiter,
    Multipart,
    Initiate,
    UploadPart,
    Complete,
}

impl Kind {
    /// Whether it is a part of a longer operation that is counted itself.
    pub fn is_step(self) -> bool {
        matches!(self, Kind::Initiate | Kind::UploadPart | Kind::Complete)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Put => "put",
            Kind::Get => "get",
            Kind::Head => "head",
            Kind::Range => "range",
            Kind::Delete => "delete",
            Kind::List => "list",
            Kind::ListDelimiter => "list-delimiter",
            Kind::Multipart => "multipart",
            Kind::Initiate => "initiate",
            Kind::UploadPart => "upload-part",
            Kind::Complete => "complete",
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Measured time; what is finished before it begins is warm-up.
    Time {
        warmup: Duration,
        measured: Duration,
    },
    Operations(u64),
}

/// One run.
#[derive(Clone)]
pub struct Plan {
    pub workload: Workload,
    /// Connections, each with one request at a time.
    pub concurrency: usize,
    /// Threads that the connections are spread over.
    pub threads: usize,
    pub limit: Limit,
    pub keys: KeySpace,
    /// Number of the first object that is written or deleted.
    pub first: u64,
    /// How many objects there are to read, list or delete.
    pub objects: u64,
    pub range_len: u64,
    pub part_size: u64,
    /// Entries asked for in a list.
    pub page_len: u32,
    pub mix: Mix,
    pub data: Data,
    /// Of the choices and the bodies.
    pub seed: u64,
}

/// Weights of the operations in [`Workload::Mixed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Kind, u64)>,
    total: u64,
}

impl Default for Mix {
    /// Mostly reads: what a store of small documents sees.
    fn default() -> Self {
        let weights = vec![(Kind::Get, 70), (Kind::Put, 20), (Kind::Head, 5), (Kind::Delete, 5)];
        Mix { weights, total: 100 }
    }
}

impl Mix {
    /// Reads `get=70,put=20,head=5,delete=5`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut weights = Vec::new();
        for pair in text.split(',') {
            let (name, weight) = pair.split_once('=').ok_or(format!("{pair:?} has no ="))?;
            let kind = [Kind::Get, Kind::Put, Kind::Head, Kind::Range, Kind::Delete, Kind::List]
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or(format!("{name:?} is none of get, put, head, range, delete, list"))?;
            let weight: u32 = weight.parse().map_err(|_| format!("{weight:?} is no weight"))?;
            weights.push((kind, u64::from(weight)));
        }
        let total = weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 { Err("all weights are zero".to_owned()) } else { Ok(Mix { weights, total }) }
    }

    /// Sum of the weights, never zero.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The operation for a number below the sum of the weights.
    pub fn choose(&self, number: u64) -> Kind {
        let mut left = number;
        for &(kind, weight) in &self.weights {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        self.weights[0].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes() {
        let mix = Mix::parse("get=2,put=0,delete=1").expect("well-formed");
        let chosen: Vec<Kind> = (0..mix.total()).map(|number| mix.choose(number)).collect();
        assert_eq!(chosen, [Kind::Get, Kind::Get, Kind::Delete]);
        for text in ["", "get", "get=x", "get=0", "multipart=1"] {
            assert!(Mix::parse(text).is_err(), "{text}");
        }
    }
}
