//! Rows as the first release wrote them decode to the same values for ever.
//!
//! `tests/fixtures` holds one row of each kind in hexadecimal, with every field
//! set. Later releases add fields and never change these files.

use bytes::Bytes;
use costrel_core::bill::{
    BucketEntry, ChargeEntry, ChunkRecord as BillChunk, DayEntry, Entries, MonthRecord,
};
use costrel_core::cors::{Cors, CorsRule};
use costrel_core::events::{self, DueRecord, EventRecord, Notification, QueueHead};
use costrel_core::identified::AllOf;
use costrel_core::inventory::{Filter, Inventory, Progress, Run as InventoryRun, Runs};
use costrel_core::lifecycle::{
    Expiration, FilterForm, Lifecycle, NoncurrentExpiration, NoncurrentTransition, Rule,
    Transition, TransitionMinimum, TransitionTime,
};
use costrel_core::logging::{Announced, ChunkRecord, Logging};
use costrel_core::record::{
    AccessRef, AclRecord, BlockRecord, BucketLockRecord, BucketRecord, ClockRecord, Content,
    GarbageRecord, GrantRecord, HistoryRecord, LayoutRecord, LifecycleRef, ListedRecord,
    LockRecord, Metadata, ObjectRecord, Pair, PartRecord, Parts, PendingRecord, PolicyRecord,
    ReportFileRecord, RestoreRecord, Run, StoredChecksum, UploadRecord, decode, encode,
};
use costrel_core::referer::RefererList;
use costrel_core::usage::{
    ClassFigures, CountsBlock, DayRecord, Figures, Held, HeldClass, LatestRecord, RestoredFigures,
    SampleRecord, Slot, Slots, StatusFigures, StorageRecord, Traffic,
};
use costrel_core::website::{RedirectAll, RoutingRule, Website};
use prost::Message;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    hex::decode(text.trim()).unwrap()
}

fn check<R: Message + Default + PartialEq + std::fmt::Debug>(name: &str, want: &R) {
    let stored = fixture(name);
    let decoded: R = decode(&stored, "fixture").unwrap();
    assert_eq!(&decoded, want, "{name}");
    // What is written today can be read by the first release.
    assert_eq!(hex::encode(encode(want)), hex::encode(stored), "{name}");
}

fn id(byte: u8) -> Bytes {
    vec![byte; 16].into()
}

fn metadata() -> Metadata {
    Metadata {
        content_type: "text/plain".into(),
        content_encoding: "gzip".into(),
        content_disposition: "attachment".into(),
        content_language: "zh-CN".into(),
        cache_control: "no-cache".into(),
        expires: "Thu, 01 Dec 2044 16:00:00 GMT".into(),
        user: vec![
            Pair { name: "colour".into(), value: "blue".into() },
            Pair { name: "empty".into(), value: String::new() },
        ],
        website_redirect: "/elsewhere".into(),
    }
}

fn checksums() -> Vec<StoredChecksum> {
    vec![
        StoredChecksum {
            algorithm: 1,
            value: Bytes::from_static(&[1, 2, 3, 4]),
            composite_parts: 0,
        },
        StoredChecksum { algorithm: 5, value: vec![5; 32].into(), composite_parts: 7 },
    ]
}

fn object(content: Content) -> ObjectRecord {
    ObjectRecord {
        write_id: id(1),
        size: 5_000_000_000_000,
        modified_ms: 1_795_000_000_123,
        etag: id(2),
        etag_parts: 9,
        crc64: 0xfedc_ba98_7654_3210,
        storage_class: "STANDARD_IA".into(),
        metadata: Some(metadata()),
        checksums: checksums(),
        content: Some(content),
        appendable: true,
        // Since the first release.
        ..Default::default()
    }
}

fn lock() -> LockRecord {
    LockRecord {
        mode: 1,
        until_ms: 1_795_000_000_123,
        store_until_ms: 1_794_000_000_123,
        legal_hold: 2,
    }
}

fn acl() -> AclRecord {
    let grant = |grantee, uin, permission| GrantRecord {
        grantee,
        account: if uin > 0 { 100_000_000_001 } else { 0 },
        uin,
        permission,
    };
    AclRecord {
        grants: vec![grant(2, 0, 1), grant(3, 0, 2), grant(1, 100_000_000_011, 5)],
        inherits: true,
    }
}

fn tags() -> Vec<Pair> {
    vec![Pair { name: "colour".into(), value: "blue".into() }]
}

fn runs() -> Vec<Run> {
    vec![Run { first_part: 1, count: 8, size: 1 << 20 }, Run { first_part: 9, count: 1, size: 3 }]
}

#[test]
fn objects() {
    check("object-inline", &object(Content::Inline(id(3))));
    check("object-blob", &object(Content::Blob(id(4))));
    let parts = Parts { set: id(5), count: 9, runs: runs(), storage_class: String::new() };
    check("object-parts", &object(Content::Parts(parts.clone())));
    let parts = Parts { storage_class: "ARCHIVE".into(), ..parts };
    check("object-parts-class", &object(Content::Parts(parts)));

    let counted = ObjectRecord { counted: true, ..object(Content::Blob(id(4))) };
    check("object-counted", &counted);
    check("object-link", &object(Content::Link("dir/target".into())));

    let listed: ListedRecord = decode(&fixture("object-blob"), "fixture").unwrap();
    let want = object(Content::Blob(id(4)));
    assert_eq!((listed.size, listed.modified_ms), (want.size, want.modified_ms));
    assert_eq!(listed.etag_text(), want.etag_text());
    assert_eq!(listed.storage_class, want.storage_class);
    assert_eq!(listed.checksums, want.checksums);
}

#[test]
fn versions() {
    let version = Bytes::from_static(&[0xe7; 12]);
    let in_version = ObjectRecord {
        version: version.clone(),
        null_version: true,
        ..object(Content::Inline(id(3)))
    };
    check("version", &in_version);
    check("version-tags", &ObjectRecord { tags: tags(), ..in_version.clone() });
    check("version-lock", &ObjectRecord { lock: Some(lock()), ..in_version.clone() });
    check("version-acl", &ObjectRecord { acl: Some(acl()), ..in_version.clone() });
    let restore = RestoreRecord {
        asked_ms: 1_795_000_000_123,
        ready_ms: 1_795_000_001_123,
        until_ms: 1_795_086_400_000,
        speed: 3,
    };
    check("version-restore", &ObjectRecord { restore: Some(restore), ..in_version.clone() });
    check(
        "delete-marker",
        &ObjectRecord {
            write_id: id(1),
            modified_ms: 1_795_000_000_123,
            version: version.clone(),
            delete_marker: true,
            ..Default::default()
        },
    );
    check(
        "history",
        &HistoryRecord { write_id: id(1), marker: version.clone(), null_version: version },
    );
    let listed: ListedRecord = decode(&fixture("version"), "fixture").unwrap();
    assert_eq!((listed.version, listed.null_version), (in_version.version, true));
    assert!(decode::<ListedRecord>(&fixture("delete-marker"), "fixture").unwrap().delete_marker);
}

#[test]
fn uploads_and_parts() {
    let upload = UploadRecord {
        write_id: id(1),
        initiated_ms: 1_795_000_000_123,
        storage_class: "ARCHIVE".into(),
        metadata: Some(metadata()),
        checksum_algorithm: 2,
        checksum_composite: true,
        completing: true,
        ..Default::default()
    };
    check("upload", &upload);
    check("upload-tags", &UploadRecord { tags: tags(), ..upload.clone() });
    check("upload-lock", &UploadRecord { lock: Some(lock()), ..upload.clone() });
    check("upload-acl", &UploadRecord { acl: Some(acl()), ..upload.clone() });
    check("upload-counted", &UploadRecord { counted: true, ..upload.clone() });
    check("upload-by-class", &UploadRecord { parts_by_class: true, ..upload });
    let part = |content| PartRecord {
        write_id: id(1),
        size: 5 << 30,
        modified_ms: 1_795_000_000_123,
        md5: id(2),
        crc64: 0x0123_4567_89ab_cdef,
        checksums: checksums(),
        content: Some(content),
        ..Default::default()
    };
    check("part-inline", &part(Content::Inline(id(3))));
    check("part-blob", &part(Content::Blob(id(4))));
    check("part-counted", &PartRecord { counted: true, ..part(Content::Blob(id(4))) });
    let storage_class = "ARCHIVE".into();
    check("part-class", &PartRecord { storage_class, ..part(Content::Blob(id(4))) });
    check("layout", &LayoutRecord { runs: runs(), write_id: id(1) });
}

#[test]
fn work_for_the_collector() {
    let pending =
        PendingRecord { started_ms: 1_795_000_000_123, writer: id(1), place: String::new() };
    check("pending", &pending);
    check("pending-place", &PendingRecord { place: "cold".into(), ..pending });
    check(
        "garbage",
        &GarbageRecord {
            queued_ms: 1_795_000_000_123,
            blobs: vec![id(1), id(2)],
            part_set: id(3),
            part_numbers: vec![1, 200, 10_000],
        },
    );
}

#[test]
fn system_rows() {
    check(
        "bucket",
        &BucketRecord {
            id: u64::MAX - 1,
            created_ms: 1_795_000_000_123,
            region: "ap-guangzhou".into(),
            owner_uin: 100_000_000_001,
            ..Default::default()
        },
    );
    let versioned = BucketRecord {
        id: 1,
        created_ms: 1_795_000_000_123,
        region: "ap-guangzhou".into(),
        owner_uin: 100_000_000_001,
        versioning: 2,
        ..Default::default()
    };
    check("bucket-versioning", &versioned);
    check("bucket-tags", &BucketRecord { tags: tags(), ..versioned.clone() });
    check("bucket-epoch", &BucketRecord { epoch: 300, ..versioned.clone() });
    let lifecycle = LifecycleRef { id: id(7), changed_ms: 1_795_000_000_123, utc_offset_s: 28_800 };
    check("bucket-lifecycle", &BucketRecord { lifecycle: Some(lifecycle), ..versioned.clone() });
    let lock = BucketLockRecord { mode: 2, days: 0, years: 7 };
    let block = BlockRecord {
        public_acls: true,
        ignore_public_acls: true,
        public_policy: true,
        restrict_public_buckets: true,
    };
    let access = AccessRef {
        cam_policy: id(8),
        iam_policy: id(9),
        block: Some(block),
        ..AccessRef::default()
    };
    check("bucket-access", &BucketRecord { access: Some(access), ..versioned.clone() });
    let access = AccessRef { acl: Some(acl()), ..AccessRef::default() };
    check("bucket-acl", &BucketRecord { access: Some(access), ..versioned.clone() });
    let access = AccessRef { ownership: 3, ..AccessRef::default() };
    check("bucket-ownership", &BucketRecord { access: Some(access), ..versioned.clone() });
    check("bucket-cors", &BucketRecord { cors: id(10), ..versioned.clone() });
    let rule = CorsRule {
        id: "pages".into(),
        origins: vec!["https://*.example".into(), "*".into()],
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec!["x-*".into()],
        exposed: vec!["ETag".into()],
        max_age_s: Some(0),
    };
    check("cors", &Cors { write_id: id(10), rules: vec![rule], vary: true });
    check("bucket-referer", &BucketRecord { referer: id(11), ..versioned.clone() });
    let list = RefererList {
        write_id: id(11),
        enabled: true,
        is_black: true,
        domains: vec!["*.example.com".into(), "10.1.2.3:8080".into()],
        allows_empty: true,
        judges_links: true,
    };
    check("referer", &list);
    check("bucket-website", &BucketRecord { website: id(12), ..versioned.clone() });
    let to = RedirectAll { host: "other.example".into(), protocol: "https".into() };
    let rule = RoutingRule {
        prefix: Some("old/".into()),
        error: 404,
        host: "other.example".into(),
        protocol: "https".into(),
        status: 307,
        key: Some("sorry.html".into()),
        key_prefix: Some("new/".into()),
    };
    let site = Website {
        write_id: id(12),
        index_suffix: "index.html".into(),
        redirect_all: Some(to),
        adds_extension: true,
        error_key: "error.html".into(),
        hides_errors: true,
        rules: vec![rule],
    };
    check("website", &site);
    check("bucket-logging", &BucketRecord { logging: id(13), ..versioned.clone() });
    let user = GrantRecord { grantee: 1, account: 100_000_000_001, uin: 7, permission: 1 };
    let logging = Logging {
        write_id: id(13),
        target: "logs-1250000000".into(),
        prefix: "a/".into(),
        form: 2,
        layout: 3,
        grants: vec![user],
    };
    check("logging", &logging);
    let lines = ChunkRecord {
        first_ms: 1_795_000_000_123,
        lines: 2,
        plain_bytes: 600,
        packed: Bytes::from_static(b"frame"),
        logging: Some(logging.clone()),
        owner_uin: 100_000_000_001,
        region: "ap-guangzhou".into(),
    };
    check("log-lines", &lines);
    let announced = Announced {
        key: "a/2026-01-01".into(),
        logging: Some(logging),
        chunks: vec![id(14)],
        owner_uin: 100_000_000_001,
        lines: 2,
    };
    check("announced-log", &announced);
    let closed = MonthRecord {
        write_id: id(16),
        closed_ms: 1_796_000_000_123,
        reopened_ms: 1_796_000_000_456,
        book: "example prices".into(),
        currency: "CNY".into(),
        entries: 3,
        chunks: 1,
        total: "1.6056666000027".into(),
    };
    check("closed-month", &closed);
    let charge = ChargeEntry {
        item: "storage:STANDARD_IA".into(),
        price: "0.00266667".into(),
        used: "0.0000000009".into(),
    };
    let tag = Pair { name: "team".into(), value: "blue".into() };
    let (name, region) = ("a-1250000000".into(), "ap-guangzhou".into());
    let charges = Entries {
        buckets: vec![BucketEntry { name, region, tags: vec![tag] }],
        entries: vec![DayEntry { bucket: 0, day: 20_758, charges: vec![charge] }],
    };
    check("charges", &charges);
    let packed = Bytes::from_static(b"frame");
    check("charges-packed", &BillChunk { packed, plain_bytes: 600 });
    check("bucket-inventories", &BucketRecord { inventories: id(15), ..versioned.clone() });
    let inventory = Inventory {
        id: "daily".into(),
        enabled: true,
        form: 1,
        target: "reports-1250000000".into(),
        account: Some("100000000001".into()),
        prefix: Some("lists".into()),
        all_versions: true,
        frequency: 3,
        month_day: 31,
        fields: vec!["Size".into(), "x-cos-meta-*".into()],
        filter: Some(Filter {
            prefix: Some("a/".into()),
            tags: tags(),
            class: "ARCHIVE".into(),
            from_s: Some(1_795_000_000),
            to_s: Some(1_795_000_001),
            joined: true,
        }),
        format: 1,
        token: id(17),
    };
    check("inventories", &AllOf { write_id: id(15), all: vec![inventory.clone()] });
    let file = ReportFileRecord { key: "lists/f".into(), size: 9, md5: "00ff".into() };
    let progress = Progress {
        began_ms: 1_795_000_000_123,
        token: id(16),
        inventory: Some(inventory),
        key: "a/b".into(),
        version: "null".into(),
        files: vec![file],
        listed_count: 4,
        listed_bytes: 5,
        written_count: 2,
        written_bytes: 3,
        ..Default::default()
    };
    let run = InventoryRun {
        id: "daily".into(),
        last_ms: Some(1),
        progress: Some(progress.clone()),
        made_by: id(18),
    };
    check("inventory-runs", &Runs { bucket: 7, all: vec![run.clone()] });
    let progress = Progress { left: vec!["lists/g".into()], ..progress };
    let run = InventoryRun { progress: Some(progress), ..run };
    check("inventory-runs-left", &Runs { bucket: 7, all: vec![run] });
    check("bucket-notification", &BucketRecord { notification: id(15), ..versioned.clone() });
    let rule = events::Rule {
        id: "mine".into(),
        service: 2,
        arn: "arn:aws:sqs:ap-guangzhou:100000000001:hook".into(),
        target: "hook".into(),
        events: vec!["s3:ObjectCreated:*".into(), "s3:ObjectAcl:Put".into()],
        prefix: Some("a/".into()),
        suffix: Some(String::new()),
    };
    check("notification", &Notification { write_id: id(15), rules: vec![rule] });
    let event = EventRecord {
        kind: 60,
        at_ms: 1_795_000_000_123,
        target: "hook".into(),
        rule_id: "mine".into(),
        bucket: "examples-1250000000".into(),
        owner_uin: 100_000_000_001,
        region: "ap-guangzhou".into(),
        size: Some(0),
        etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
        version: "MTg0".into(),
        principal: "100000000002".into(),
        by_server: true,
        source_ip: "10.0.0.1".into(),
        request_id: "R".into(),
        second_id: "H".into(),
        destination: "ARCHIVE".into(),
        metadata: None,
        until_ms: 0,
    };
    check("event", &event);
    let restored = EventRecord { kind: 21, until_ms: 1_795_000_000_123, ..event.clone() };
    check("event-restored", &restored);
    let due = DueRecord {
        write_id: id(17),
        due_ms: 1_795_000_000_123,
        modified_ms: 1_794_000_000_123,
        is_done: true,
        for_good: true,
    };
    check("due", &due);
    let event = EventRecord { metadata: Some(metadata()), ..event };
    check("event-metadata", &event);
    check("queue-head", &QueueHead { last: 0x1234 });
    check("policy", &PolicyRecord { write_id: id(8), document: "{}".into() });
    check("bucket-lock", &BucketRecord { lock: Some(lock), ..versioned });
    check("lock-clock", &ClockRecord { ms: 1_795_000_000_123 });
    check("scrub-cursor", &Pair { name: "examples-1250000000".into(), value: "a/b".into() });
}

#[test]
fn counts() {
    let traffic = Traffic { internet_in: 1, internet_out: 2, internal_in: 3, internal_out: 4 };
    let figures = Figures {
        classes: vec![ClassFigures { class: 1, reads: 5, writes: 6, retrieved_bytes: 1 << 40 }],
        statuses: vec![StatusFigures { status: 206, requests: 11 }],
        traffic: Some(traffic),
        restored: vec![RestoredFigures { class: 3, speed: 2, objects: 7, bytes: 8 }],
    };
    check("counts", &figures);
    let class =
        HeldClass { class: 1, bytes: 1 << 50, objects: 9, uploads: 10, ..Default::default() };
    let held = Held { classes: vec![class], part_bytes: 12, parts: 13 };
    let sample = SampleRecord { before: Some(Held::default()), held: Some(held.clone()) };
    check("counts-sample", &sample);
    let slot = Slot { offset_s: 3540, figures: Some(figures.clone()), held: Some(held.clone()) };
    check("counts-slots", &Slots { slots: vec![slot] });
    let block = CountsBlock {
        before: Some(held.clone()),
        plain_bytes: 100,
        packed: Bytes::from_static(b"frame"),
        grain: 1,
    };
    check("counts-block", &block);
    let storage = StorageRecord {
        class: 256,
        byte_ms_high: 1,
        byte_ms_low: 2,
        bytes_peak: 3,
        bytes_last: 4,
        object_ms_high: 5,
        object_ms_low: 6,
        objects_peak: 7,
        objects_last: 8,
    };
    let day =
        DayRecord { before: Some(held.clone()), figures: Some(figures), storage: vec![storage] };
    check("counts-day", &day);
    let latest = LatestRecord { held: Some(held), days_from: 20_000, sampled_ms: 0 };
    check("counts-latest", &latest);
    let class = HeldClass { class: 4, part_bytes: 14, parts: 15, ..Default::default() };
    let held = Held { classes: vec![class], ..Held::default() };
    let latest = LatestRecord { held: Some(held), sampled_ms: 1_795_000_000_000, ..latest };
    check("counts-latest-parts", &latest);
}

#[test]
fn lifecycles() {
    let every = Rule {
        id: "rule".into(),
        enabled: true,
        form: FilterForm::And.into(),
        prefix: Some("logs/".into()),
        tags: tags(),
        size_greater: Some(0),
        size_less: Some(1 << 20),
        expiration: Some(Expiration::Days(30)),
        noncurrent: Some(NoncurrentExpiration { days: 7, newer: 3 }),
        abort_days: Some(1),
        ..Rule::default()
    };
    let date = Rule { expiration: Some(Expiration::Date(1_514_736_000_000)), ..every.clone() };
    let marker = Rule { expiration: Some(Expiration::LoneMarker(true)), ..every.clone() };
    let class = || "DEEP_ARCHIVE".to_owned();
    let step = |time| Transition { time: Some(time), class: class() };
    let moving = Rule {
        transitions: vec![
            step(TransitionTime::Days(0)),
            step(TransitionTime::Date(1_514_736_000_000)),
        ],
        noncurrent_transitions: vec![NoncurrentTransition { days: 0, newer: 3, class: class() }],
        ..every.clone()
    };
    let old = Lifecycle { write_id: id(7), utc_offset_s: 28_800, ..Lifecycle::default() };
    check("lifecycle", &Lifecycle { rules: vec![every, date, marker], ..old.clone() });
    let minimum = TransitionMinimum::Varies.into();
    check("lifecycle-moves", &Lifecycle { rules: vec![moving], minimum, ..old });
}
