//! What a bucket's counters say, in terms of objects.

use super::{Kind, classes};
use crate::bucket::Bucket;
use crate::engine::{Partition, Tallies, Tally};
use crate::error::Result;
use crate::store::Store;

/// What is held in one storage class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassUsage {
    /// As the client named it.
    pub class: &'static str,
    pub current: Tally,
    /// Versions below the current one, or below a delete marker.
    pub noncurrent: Tally,
    /// Open uploads.
    pub uploads: i64,
    /// Parts that no object is made of: of open uploads, and of what is being freed.
    pub parts: Tally,
}

/// What a bucket holds. Bytes are those of bodies as clients sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketUsage {
    /// In the order of the classes' numbers; only those that hold something.
    pub classes: Vec<ClassUsage>,
    pub delete_markers: i64,
}

impl ClassUsage {
    fn is_empty(&self) -> bool {
        let tallies = [self.current, self.noncurrent, self.parts];
        self.uploads == 0 && tallies.iter().all(|tally| *tally == Tally::default())
    }
}

impl BucketUsage {
    pub(super) fn of(tallies: &Tallies) -> BucketUsage {
        let mut usage = BucketUsage::default();
        for (counter, tally) in tallies.iter() {
            let Some((kind, class)) = Kind::of(counter) else { continue };
            match kind {
                Kind::Current => add(&mut usage.of_class(class).current, tally),
                Kind::Versioned => add(&mut usage.of_class(class).noncurrent, tally.negated()),
                Kind::Version => add(&mut usage.of_class(class).noncurrent, tally),
                Kind::Marker => usage.delete_markers += tally.count,
                Kind::Upload => usage.of_class(class).uploads += tally.count,
                Kind::Part => add(&mut usage.of_class(class).parts, tally),
                Kind::Joined => add(&mut usage.of_class(class).parts, tally.negated()),
            }
        }
        // Most parts are joined again.
        usage.classes.retain(|class| !class.is_empty());
        usage.classes.sort_by_key(|class| classes::number(class.class));
        usage
    }

    fn of_class(&mut self, number: u8) -> &mut ClassUsage {
        let class = classes::name(number);
        let at = self.classes.iter().position(|usage| usage.class == class);
        let at = at.unwrap_or_else(|| {
            let (current, noncurrent, uploads, parts) = Default::default();
            self.classes.push(ClassUsage { class, current, noncurrent, uploads, parts });
            self.classes.len() - 1
        });
        &mut self.classes[at]
    }

    /// Parts of all classes that no object is made of.
    pub fn parts(&self) -> Tally {
        let mut parts = Tally::default();
        self.classes.iter().for_each(|usage| add(&mut parts, usage.parts));
        parts
    }

    /// Objects and versions of all classes together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for usage in &self.classes {
            add(&mut total, usage.current);
            add(&mut total, usage.noncurrent);
        }
        total
    }
}

fn add(sum: &mut Tally, by: Tally) {
    sum.count = sum.count.wrapping_add(by.count);
    sum.bytes = sum.bytes.wrapping_add(by.bytes);
}

impl Store {
    /// What the bucket holds now. Without what was there before anything was counted,
    /// until [`Store::is_all_counted`].
    pub async fn usage(&self, bucket: &Bucket) -> Result<BucketUsage> {
        self.usage_of(bucket.partition()).await
    }

    pub(crate) async fn usage_of(&self, partition: Partition) -> Result<BucketUsage> {
        Ok(BucketUsage::of(&self.engine.index().tallies(partition).await?))
    }
}
