//! What the committer has to note of the log of bodies, besides its commits.

use costrel_core::engine::EngineError;

use super::store::Batch;
use crate::bodies::{Extent, Named};

/// Pages, 64 MiB of them.
const UNUSED_PAGES_MAX: u64 = 16 * 1024;

/// Waits for the next batch: nothing of it is worth a sync of its own.
#[derive(Default)]
pub(super) struct Chores {
    /// Bodies that no row names or will name, and which are not noted as dead.
    unused: Vec<Extent>,
    /// Dead bodies that need not be noted any more.
    given_back: Vec<Extent>,
    /// Segments below take no more bodies; zero when that is noted.
    sealed_below: u32,
}

impl Chores {
    pub(super) fn unused(&mut self, extents: impl IntoIterator<Item = Extent>) {
        self.unused.extend(extents);
    }

    /// Whether so much waits to be noted as dead that it is worth a sync: as long as
    /// commits are only refused, no batch takes it along.
    pub(super) fn are_pressing(&self) -> bool {
        self.unused.iter().map(|extent| u64::from(extent.pages)).sum::<u64>() > UNUSED_PAGES_MAX
    }

    pub(super) fn given_back(&mut self, extents: Vec<Extent>) {
        self.given_back.extend(extents);
    }

    pub(super) fn sealed(&mut self, segment: u32) {
        self.sealed_below = self.sealed_below.max(segment + 1);
    }

    /// Puts everything into a batch that names some bodies and frees others.
    pub(super) fn write_into(
        &self,
        batch: &mut Batch<'_>,
        named: &mut [Named],
        freed: &[Extent],
    ) -> Result<(), EngineError> {
        named.sort_unstable_by_key(|named| named.extent);
        for named in named.chunk_by(|a, b| a.extent.segment == b.extent.segment) {
            if named[0].extent.segment >= self.sealed_below {
                batch.name(named);
            }
        }
        for extent in freed.iter().chain(&self.unused) {
            batch.note_dead(*extent);
        }
        for extent in &self.given_back {
            batch.forget_dead(*extent);
        }
        match self.sealed_below {
            0 => Ok(()),
            segment => batch.seal_below(segment),
        }
    }

    /// The batch is stable: what has become dead by that, and below which segment
    /// no more bodies are taken if that was noted.
    pub(super) fn done(&mut self) -> (Vec<Extent>, Option<u32>) {
        self.given_back.clear();
        let sealed_below = std::mem::take(&mut self.sealed_below);
        (std::mem::take(&mut self.unused), (sealed_below > 0).then_some(sealed_below))
    }
}
