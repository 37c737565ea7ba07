//! Users, their keys and their groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::account::{
    Accounts, FixedIdentity, IdentityError, KEY_CACHE_MS, KeyPair, Labelled, NewHolder,
    PolicyHolder, UserDetails,
};
use costrel_core::engine::Engine;
use costrel_core::env::Entropy;
use costrel_core::secret::MasterKey;
use costrel_policy::Grammar;
use costrel_testkit::MemoryEngine;

use crate::{ALL, Hands, READS, TRUST, gateways, is_known, labels, policies_in_force};

#[tokio::test]
async fn a_users_life() {
    let (here, there, _) = gateways().await;
    let details = UserDetails { remark: "Reads".into(), ..UserDetails::default() };
    let user = here.add_user("reader", details).await.unwrap();
    let again = here.add_user("reader", UserDetails::default()).await;
    assert!(matches!(again, Err(IdentityError::UserExists)));
    for name in ["", "a b", "a/b", &"a".repeat(65)] {
        let refused = here.add_user(name, UserDetails::default()).await;
        assert!(matches!(refused, Err(IdentityError::UserName { .. })), "{name}");
    }
    let seen = there.user_named("reader").await.unwrap();
    assert_eq!((seen.uin, seen.uid, &seen.details.remark[..]), (user.uin, user.uid, "Reads"));
    assert_eq!(there.user(user.uin).await.unwrap().name, "reader");
    let details = UserDetails { email: "a@example.com".into(), ..seen.details };
    there.set_user_details(user.uin, details).await.unwrap();
    let details = here.user(user.uin).await.unwrap().details;
    assert_eq!((&details.remark[..], &details.email[..]), ("Reads", "a@example.com"));

    let pair = here.create_key(user.uin, "first").await.unwrap();
    assert!(matches!(there.delete_user("reader", false).await, Err(IdentityError::UserInUse)));
    there.delete_user("reader", true).await.unwrap();
    assert!(!is_known(&here, pair.id()).await);
    assert!(matches!(here.user(user.uin).await, Err(IdentityError::NoSuchUser)));
    assert!(matches!(here.delete_user("reader", true).await, Err(IdentityError::NoSuchUser)));
    assert!(here.users_behind(None, 10).await.unwrap().0.is_empty());
    // The name is free again, and nothing of the old one comes back.
    let new = here.add_user("reader", UserDetails::default()).await.unwrap();
    assert!(here.keys(new.uin).await.unwrap().is_empty());
    assert!(is_known(&here, "AKIDroot").await);
}

#[tokio::test]
async fn a_keys_life() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let pair = here.create_key(user.uin, "first").await.unwrap();
    for accounts in [&here, &there] {
        let key = accounts.find(pair.id(), None).await.unwrap();
        assert_eq!(key.secret, *pair.secret());
        assert_eq!(key.user().unwrap().name, "reader");
    }
    here.enable_key(user.uin, pair.id(), false).await.unwrap();
    assert!(!is_known(&here, pair.id()).await, "at once here");
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    const { assert!(KEY_CACHE_MS <= 1000) };
    assert!(!is_known(&there, pair.id()).await, "within a second there");
    there.enable_key(user.uin, pair.id(), true).await.unwrap();
    assert!(is_known(&there, pair.id()).await);

    let second = here.create_key(user.uin, "").await.unwrap();
    let third = here.create_key(user.uin, "").await;
    assert!(matches!(third, Err(IdentityError::TooManyKeys { .. })));
    let other = here.add_user("other", UserDetails::default()).await.unwrap();
    let foreign = here.delete_key(other.uin, pair.id()).await;
    assert!(matches!(foreign, Err(IdentityError::NoSuchKey)));
    here.delete_key(user.uin, pair.id()).await.unwrap();
    assert!(!is_known(&here, pair.id()).await);
    assert!(is_known(&here, second.id()).await);
    let keys = there.keys(user.uin).await.unwrap();
    assert_eq!(keys.iter().map(|key| &key.id[..]).collect::<Vec<_>>(), [second.id()]);
}

/// Draws the same few numbers again and again.
struct Stuck(AtomicU64);

impl Entropy for Stuck {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1 + (self.0.fetch_add(1, Ordering::Relaxed) / 2) as u8);
    }
}

#[tokio::test]
async fn no_two_users_have_the_same_number() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let (clock, entropy) = (Arc::new(Hands(AtomicU64::new(1))), Arc::new(Stuck(AtomicU64::new(0))));
    let fixed = FixedIdentity {
        uin: Some("100000000001".parse().unwrap()),
        root_key: Some(KeyPair::new("AKIDroot", "root-secret").unwrap()),
        ..FixedIdentity::default()
    };
    let master = MasterKey::new(&[1; 32]);
    let here = Accounts::open(engine, master, entropy, clock, fixed).await.unwrap().0;
    let mut uins = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let user = here.add_user(name, UserDetails::default()).await.unwrap();
        assert_eq!(here.user_of_uid(user.uid).await.unwrap().name, name);
        uins.push(user.uin);
    }
    uins.dedup();
    assert_eq!(uins.len(), 5);
}

/// Of several that claim a name at once one gets it, and none of what several change
/// at once is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_once() {
    let (here, there, _) = gateways().await;
    let (here, there) = (Arc::new(here), Arc::new(there));
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let accounts = if n % 2 == 0 { here.clone() } else { there.clone() };
        tasks.push(tokio::spawn(async move {
            let id =
                accounts.create_policy(&format!("p{n}"), "", (Grammar::Cam, ALL)).await.unwrap();
            accounts.attach_policy(user.uin, id).await.unwrap();
            accounts.add_user("same", UserDetails::default()).await.is_ok()
        }));
    }
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(here.users_behind(None, 10).await.unwrap().0.len(), 2);
    assert_eq!(here.attached_policies(user.uin).await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_groups_life() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let pair = here.create_key(user.uin, "").await.unwrap();
    let policies = async |accounts: &Accounts| policies_in_force(accounts, &pair).await;
    assert_eq!((policies(&here).await, policies(&there).await), (0, 0));
    let group = here.create_group("readers", "Read").await.unwrap();
    assert!(matches!(there.create_group("readers", "").await, Err(IdentityError::GroupExists)));
    assert!(matches!(here.create_group("a b", "").await, Err(IdentityError::GroupName { .. })));
    let id = here.create_policy("all", "", (Grammar::Cam, ALL)).await.unwrap();
    here.attach_policy(PolicyHolder::Group(group.id), id).await.unwrap();
    for _ in 0..2 {
        here.add_to_group(user.uin, group.id).await.unwrap();
    }
    assert_eq!(policies(&here).await, 1, "at once here");
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert_eq!(policies(&there).await, 1, "within a second there");
    // What he has twice judges once.
    here.attach_policy(user.uin, id).await.unwrap();
    assert_eq!(policies(&here).await, 1);
    here.detach_policy(user.uin, id).await.unwrap();
    let (count, members) = there.members(group.id, 0, 10).await.unwrap();
    assert_eq!((count, &members[0].name[..]), (1, "reader"));
    assert_eq!(there.groups_of(user.uin).await.unwrap()[0].name, "readers");
    assert_eq!(there.group(group.id).await.unwrap().members, 1);

    there.update_group(group.id, Some("lectors"), None, None).await.unwrap();
    assert!(matches!(here.group_named("readers").await, Err(IdentityError::NoSuchGroup)));
    let renamed = here.group_named("lectors").await.unwrap();
    assert_eq!((renamed.id, &renamed.remark[..]), (group.id, "Read"));
    let other = here.create_group("readers", "").await.unwrap();
    let taken = here.update_group(other.id, Some("lectors"), None, None).await;
    assert!(matches!(taken, Err(IdentityError::GroupExists)));

    assert!(matches!(here.delete_group(group.id, false).await, Err(IdentityError::GroupInUse)));
    here.remove_from_group(user.uin, group.id).await.unwrap();
    let again = here.remove_from_group(user.uin, group.id).await;
    assert!(matches!(again, Err(IdentityError::NotMember)));
    assert_eq!(policies(&here).await, 0);
    here.add_to_group(user.uin, group.id).await.unwrap();
    assert_eq!(policies(&here).await, 1);
    here.delete_group(group.id, true).await.unwrap();
    assert_eq!(policies(&here).await, 0);
    assert!(here.user(user.uin).await.unwrap().groups.is_empty());
    assert!(matches!(here.group(group.id).await, Err(IdentityError::NoSuchGroup)));

    // A user who goes is no member any more.
    here.add_to_group(user.uin, other.id).await.unwrap();
    here.delete_user("reader", true).await.unwrap();
    here.delete_group(other.id, false).await.unwrap();
}

#[tokio::test]
async fn a_user_is_in_some_groups_and_no_more() {
    let (here, _, _) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    for n in 0..11 {
        let group = here.create_group(&format!("g{n}"), "").await.unwrap();
        let joined = here.add_to_group(user.uin, group.id).await;
        assert_eq!(joined.is_ok(), n < 10, "{n}");
    }
    assert_eq!(here.groups_of(user.uin).await.unwrap().len(), 10);
    assert_eq!(here.groups("g", 4, 100).await.unwrap().1.len(), 7);
}

#[tokio::test]
async fn labels_and_new_names() {
    let (here, there, _) = gateways().await;
    let named = labels("/team/", &[("cost", "1")]);
    let given = NewHolder { labels: named.clone(), boundary: None };
    let user = here.add_user_with("ann", UserDetails::default(), &given).await.unwrap();
    let group = here.create_labelled_group("readers", "", &named).await.unwrap();
    let trust = (Grammar::Cam, TRUST);
    let role = here.create_role_with("auditor", trust, 60, "", &given).await.unwrap();
    let policy = (Grammar::Iam, READS);
    let policy = here.create_labelled_policy("reads", "", policy, &named).await.unwrap();
    let refused = here.create_labelled_group("other", "", &labels("team", &[])).await;
    assert!(matches!(refused, Err(IdentityError::Path { .. })));
    let all = [
        Labelled::User(user.uin),
        Labelled::Group(group.id),
        Labelled::Role(role.id),
        Labelled::Policy(policy),
    ];
    let shown = async || {
        [
            there.user(user.uin).await.unwrap().labels,
            there.group(group.id).await.unwrap().labels,
            there.role(role.id).await.unwrap().labels,
            there.managed_policy(policy).await.unwrap().labels,
        ]
    };
    assert_eq!(shown().await, [0; 4].map(|_| named.clone()));
    for whose in all {
        here.change_labels(whose, |labels| {
            labels.path = "/new/".into();
            labels.tags.remove("cost");
            labels.tags.insert("a".into(), "b".into());
        })
        .await
        .unwrap();
        let refused = here.change_labels(whose, |labels| labels.path.clear()).await;
        assert!(matches!(refused, Err(IdentityError::Path { .. })));
    }
    assert_eq!(shown().await, [0; 4].map(|_| labels("/new/", &[("a", "b")])));

    let pair = here.create_key(user.uin, "").await.unwrap();
    here.add_user("bob", UserDetails::default()).await.unwrap();
    assert!(matches!(
        here.move_user(user.uin, Some("bob"), None).await,
        Err(IdentityError::UserExists)
    ));
    assert!(matches!(
        here.move_user(user.uin, Some("a b"), None).await,
        Err(IdentityError::UserName { .. })
    ));
    here.move_user(user.uin, Some("ann"), None).await.unwrap();
    here.move_user(user.uin, Some("eve"), None).await.unwrap();
    assert!(matches!(there.user_named("ann").await, Err(IdentityError::NoSuchUser)));
    // Both change at once, or neither does.
    let both = here.move_user(user.uin, Some("bob"), Some("/other/")).await;
    assert!(matches!(both, Err(IdentityError::UserExists)));
    let both = here.move_user(user.uin, Some("free"), Some("other")).await;
    assert!(matches!(both, Err(IdentityError::Path { .. })));
    assert!(matches!(there.user_named("free").await, Err(IdentityError::NoSuchUser)));
    assert_eq!(there.user_named("eve").await.unwrap().labels.path, "/new/");
    here.move_user(user.uin, Some("eva"), Some("/other/")).await.unwrap();
    let eva = there.user_named("eva").await.unwrap();
    assert_eq!((eva.uin, eva.labels), (user.uin, labels("/other/", &[("a", "b")])));
    here.move_user(user.uin, Some("eve"), Some("/new/")).await.unwrap();
    here.create_group("others", "").await.unwrap();
    let both = here.update_group(group.id, Some("others"), Some("r"), Some("/other/")).await;
    assert!(matches!(both, Err(IdentityError::GroupExists)));
    let both = here.update_group(group.id, Some("free"), Some("r"), Some("other")).await;
    assert!(matches!(both, Err(IdentityError::Path { .. })));
    let same = there.group_named("readers").await.unwrap();
    assert_eq!((&same.labels.path[..], &same.remark[..]), ("/new/", ""));
    let eve = there.user_named("eve").await.unwrap();
    assert_eq!((eve.uin, &eve.labels.path[..]), (user.uin, "/new/"));
    assert_eq!(here.find(pair.id(), None).await.unwrap().user().unwrap().name, "eve");
    here.delete_user("eve", true).await.unwrap();
    let gone = here.move_user(user.uin, Some("ann"), None).await;
    assert!(matches!(gone, Err(IdentityError::NoSuchUser)));
}
