//! Objects that grow by appends.

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::checksum::{Digester, Expected};
use costrel_core::engine::{Commit, RowRef, Table, Tallies, Write};
use costrel_core::object::{AppendRequest, Attributes, Selection};
use costrel_core::range::ByteRange;
use costrel_core::record::{Content, ObjectRecord, Parts, Run, encode};

use crate::common::random::{Random, seed};
use crate::common::{INLINE_MAX, LARGE, Pieces, SMALL, World, body, key};

crate::on_every_engine!(
    random_appends_equal_their_concatenation,
    small_appends_share_segments,
    positions_are_checked,
    other_objects_do_not_grow,
    segments_of_many_sizes,
    the_largest_size_holds_without_a_declared_one,
);

async fn random_appends_equal_their_concatenation(world: &World) {
    let mut random = Random::new(seed("random_appends_equal_their_concatenation"));
    let bucket = world.bucket("appends").await;
    for object in 0..4 {
        let at = format!("k{object}");
        let mut whole = Vec::new();
        for _ in 0..30 {
            let len = *random.pick(&[0, 1, 10, SMALL, SMALL, INLINE_MAX, INLINE_MAX + 1, LARGE]);
            let data = body(random.next(), len);
            let done = world.append(&bucket, &at, whole.len() as u64, data.clone()).await.unwrap();
            whole.extend_from_slice(&data);
            assert_eq!(done.next_position, whole.len() as u64);
            assert_eq!(done.crc64, Digester::crc64(&whole));
            if !whole.is_empty() {
                let first = random.below(whole.len());
                let range = Selection::Range(ByteRange::From(first as u64));
                let (info, read) = world.get_part(&bucket, &at, range).await.unwrap();
                assert_eq!(info.etag, done.etag);
                assert_eq!(read, whole[first..]);
            }
        }
        world.settle().await;
        assert_eq!(world.get(&bucket, &at).await.unwrap(), whole);
        let (_, read) = world.get_part(&bucket, &at, Selection::Part(1)).await.unwrap();
        assert_eq!(read, whole);
        assert_eq!(world.head(&bucket, &at).await.unwrap().parts_count(), None);
    }
    // Overwritten and deleted like any other object.
    world.put(&bucket, "k0", body(1, SMALL)).await.unwrap();
    for at in ["k1", "k2", "k3"] {
        world.delete(&bucket, at).await.unwrap();
    }
    let report = world.settle().await;
    assert_eq!((report.objects, report.parts, report.blobs), (1, 0, 0));
}

async fn small_appends_share_segments(world: &World) {
    let bucket = world.bucket("merging").await;
    let mut whole = Vec::new();
    for number in 0..100 {
        let data = body(number, SMALL);
        world.append(&bucket, "k", whole.len() as u64, data.clone()).await.unwrap();
        whole.extend_from_slice(&data);
    }
    assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
    assert_eq!(world.settle().await.parts, 10);
}

async fn positions_are_checked(world: &World) {
    let bucket = world.bucket("positions").await;
    let early = world.append(&bucket, "k", 1, body(1, SMALL)).await;
    assert!(matches!(early, Err(Error::AppendPosition { length: 0 })));
    world.append(&bucket, "k", 0, Bytes::new()).await.unwrap();
    world.append(&bucket, "k", 0, body(1, LARGE)).await.unwrap();
    for position in [0, LARGE as u64 - 1, LARGE as u64 + 1, u64::MAX] {
        for len in [0, SMALL, LARGE] {
            let wrong = world.append(&bucket, "k", position, body(2, len)).await;
            assert!(
                matches!(wrong, Err(Error::AppendPosition { length }) if length == LARGE as u64)
            );
        }
    }
    assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, LARGE));
}

async fn other_objects_do_not_grow(world: &World) {
    let bucket = world.bucket("not-appendable").await;
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    for position in [0, SMALL as u64] {
        let refused = world.append(&bucket, "k", position, body(2, SMALL)).await;
        assert!(matches!(refused, Err(Error::NotAppendable)));
    }
}

async fn segments_of_many_sizes(world: &World) {
    let bucket = world.bucket("segments").await;
    let mut whole = Vec::new();
    // More runs than a record keeps, merged and not, up and down across the
    // border at which the layout moves to a row of its own.
    for number in 0..80 {
        let data = body(number, INLINE_MAX - 3 + (number % 3) as usize);
        world.append(&bucket, "k", whole.len() as u64, data.clone()).await.unwrap();
        whole.extend_from_slice(&data);
        if number > 60 {
            let data = body(number, 1);
            world.append(&bucket, "k", whole.len() as u64, data.clone()).await.unwrap();
            whole.extend_from_slice(&data);
            assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
        }
    }
    world.settle().await;
    assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
}

async fn the_largest_size_holds_without_a_declared_one(world: &World) {
    let bucket = world.bucket("append-limit").await;
    let append = async |position, data: Bytes, size| {
        let request = AppendRequest {
            key: key("k"),
            position,
            attributes: Attributes::default(),
            expected: Expected::default(),
            size,
        };
        world.store.append_object(&bucket, request, &mut Pieces::new(data, 7)).await
    };
    // Ten bytes below the limit, without the bytes.
    let size = (5 << 30) - 10;
    let set = Bytes::from_static(&[7; 16]);
    let runs = vec![Run { first_part: 1, count: 1, size }];
    let parts = Parts { set, count: 1, runs, ..Parts::default() };
    let record = ObjectRecord {
        write_id: Bytes::from_static(&[1; 16]),
        size,
        appendable: true,
        content: Some(Content::Parts(parts)),
        ..Default::default()
    };
    let commit = Commit {
        partition: bucket.partition(),
        group: key("k").group(),
        expects: Vec::new(),
        writes: vec![Write::Put(RowRef::only(Table::Object), encode(&record))],
        tallies: Tallies::default(),
    };
    world.engine.index().commit(commit).await.unwrap();
    for len in [11, LARGE] {
        for declared in [None, Some(len as u64)] {
            let refused = append(size, body(1, len), declared).await;
            assert!(matches!(refused, Err(Error::TooLarge { max: 10, .. })), "{refused:?}");
        }
    }
    assert_eq!(append(size, body(1, 10), None).await.unwrap().next_position, 5 << 30);
    assert!(matches!(append(5 << 30, body(1, 1), None).await, Err(Error::TooLarge { max: 0, .. })));
    world.delete(&bucket, "k").await.unwrap();
}
