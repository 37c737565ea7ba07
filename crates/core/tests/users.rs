//! Shows that users, their keys and policies change together, at once where they are
//! changed and within a second at another gateway, on the memory engine.

#[path = "common/faulty.rs"]
mod faulty;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::account::{
    Accounts, FixedIdentity, GrantError, IdentityError, KEY_CACHE_MS, KeyError, KeyPair, Labelled,
    Labels, ManagedPolicy, NewHolder, PolicyHolder, RoleChanges, SessionRequest, SessionTags,
    UserDetails, Whose,
};
use costrel_core::engine::Engine;
use costrel_core::env::{Clock, Entropy};
use costrel_core::secret::MasterKey;
use costrel_policy::{Grammar, Policy};
use costrel_testkit::MemoryEngine;
use faulty::{Fault, Faulty, Plan};
use rand::RngCore;

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const ALL: &[u8] =
    br#"{"version": "2.0", "statement": [{"effect": "allow", "action": "*", "resource": "*"}]}"#;

/// Two gateways on one store.
async fn gateways() -> (Accounts, Accounts, Arc<Hands>) {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let clock = Arc::new(Hands(AtomicU64::new(1_700_000_000_000)));
    (opened(engine.clone(), &clock).await, opened(engine, &clock).await, clock)
}

async fn opened(engine: Arc<dyn Engine>, clock: &Arc<Hands>) -> Accounts {
    let fixed = FixedIdentity {
        root_key: Some(KeyPair::new("AKIDroot", "root-secret").unwrap()),
        ..FixedIdentity::default()
    };
    let (key, entropy) = (MasterKey::new(&[1; 32]), Arc::new(Random));
    Accounts::open(engine, key, entropy, clock.clone(), fixed).await.unwrap().0
}

async fn is_known(accounts: &Accounts, id: &str) -> bool {
    match accounts.find(id, None).await {
        Ok(_) => true,
        Err(KeyError::Unknown) => false,
        Err(error) => panic!("{error}"),
    }
}

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

#[tokio::test]
async fn a_policys_life() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let pair = here.create_key(user.uin, "").await.unwrap();
    let policies = async |accounts: &Accounts| {
        let key = accounts.find(pair.id(), None).await.unwrap();
        key.user().unwrap().in_force.policies.len()
    };
    assert_eq!((policies(&here).await, policies(&there).await), (0, 0));
    let id = here.create_policy("all", "Everything", (Grammar::Cam, ALL)).await.unwrap();
    let again = here.create_policy("all", "", (Grammar::Cam, ALL)).await;
    assert!(matches!(again, Err(IdentityError::PolicyExists)));
    let nothing = here.create_policy("b", "", (Grammar::Cam, b"{}")).await;
    assert!(matches!(nothing, Err(IdentityError::Policy(_))));
    let somebody = br#"{"version": "2.0", "statement": [{"effect": "allow", "action": "*",
        "resource": "*", "principal": {"qcs": ["*"]}}]}"#;
    assert!(matches!(
        here.create_policy("b", "", (Grammar::Cam, somebody)).await,
        Err(IdentityError::Policy(_))
    ));

    for _ in 0..2 {
        here.attach_policy(user.uin, id).await.unwrap();
    }
    assert_eq!(policies(&here).await, 1);
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert_eq!(policies(&there).await, 1);
    let attached = there.attached_policies(user.uin).await.unwrap();
    assert_eq!((attached.len(), &attached[0].0.name[..]), (1, "all"));
    let none = here.attach_policy(user.uin, id + 1).await;
    assert!(matches!(none, Err(IdentityError::NoSuchPolicy)));

    here.update_policy(id, Some("All"), None).await.unwrap();
    let policy = there.managed_policy_named("all").await.unwrap();
    assert_eq!((&policy.description[..], &policy.document[..]), ("All", ALL));
    here.detach_policy(user.uin, id).await.unwrap();
    assert!(matches!(here.detach_policy(user.uin, id).await, Err(IdentityError::NotAttached)));
    assert_eq!(policies(&here).await, 0);
    here.attach_policy(user.uin, id).await.unwrap();
    here.delete_policy(id).await.unwrap();
    assert_eq!(policies(&here).await, 0);
    assert!(matches!(here.delete_policy(id).await, Err(IdentityError::NoSuchPolicy)));
    here.create_policy("all", "", (Grammar::Cam, ALL)).await.unwrap();
    assert_eq!(policies(&here).await, 0, "a new policy is nobody's");
}

#[tokio::test]
async fn pages_of_policies() {
    let (here, _, _) = gateways().await;
    for n in 0..7 {
        here.create_policy(&format!("p{n}"), "", (Grammar::Cam, ALL)).await.unwrap();
    }
    here.create_policy("other", "", (Grammar::Cam, ALL)).await.unwrap();
    let mut names = Vec::new();
    for skip in [0, 3, 6] {
        let (count, page) = here.managed_policies("p", skip, 3).await.unwrap();
        assert_eq!(count, 7);
        names.extend(page.into_iter().map(|policy| policy.name));
    }
    names.sort_unstable();
    assert_eq!(names, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
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

/// Pages of users: each has as many as it may, in order, and none is left out or shown
/// twice.
#[tokio::test]
async fn users_by_their_names() {
    let (here, _, _) = gateways().await;
    let (page, next) = here.users_by_name("", 10, |_| true).await.unwrap();
    assert!(page.is_empty() && next.is_none());
    let mut names: Vec<String> = (0..150).map(|n| format!("u{n}")).collect();
    names.extend(["A", "a", "a.b", "a-b", "aa"].map(str::to_owned));
    for name in &names {
        here.add_user(name, UserDetails::default()).await.unwrap();
    }
    names.sort_unstable();
    for limit in [1, 2, 63, 64, 65, 154, 155, 156, 1000] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (page, next) = here.users_by_name(&after, limit, |_| true).await.unwrap();
            assert!(page.len() == limit || next.is_none());
            seen.extend(page.into_iter().map(|user| user.name));
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, names, "{limit}");
    }
    let last = |user: &costrel_core::account::User| user.name == "u99";
    let (page, next) = here.users_by_name("", 1, last).await.unwrap();
    assert_eq!((page.len(), page[0].uin), (1, here.user_named("u99").await.unwrap().uin));
    assert_eq!(next, None);
    // Of names that are not there any more.
    here.delete_user("a", false).await.unwrap();
    here.move_user(page[0].uin, Some("Z"), None).await.unwrap();
    let (page, next) = here.users_by_name("A", 2, |_| true).await.unwrap();
    assert_eq!(page.iter().map(|user| &user.name[..]).collect::<Vec<_>>(), ["Z", "a-b"]);
    let (page, _) = here.users_by_name(&next.unwrap(), 1, |_| true).await.unwrap();
    assert_eq!(page[0].name, "a.b");
    let (page, next) = here.users_by_name("zzz", 1, |_| true).await.unwrap();
    assert!(page.is_empty() && next.is_none());
}

/// Lists show all, once, whatever the length of their pages, and a page looks at no more
/// than it shows: not at what is before it, nor at what is behind.
#[tokio::test]
async fn pages_cost_what_they_show() {
    const COUNT: usize = 1500;
    let inner: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let clock = Arc::new(Hands(AtomicU64::new(1_700_000_000_000)));
    let faulty = Faulty::new(inner);
    let here = opened(faulty.clone(), &clock).await;
    let mut names: Vec<String> = (0..COUNT).map(|n| format!("n{n}")).collect();
    let group = here.create_group("members", "").await.unwrap();
    let id = here.create_policy("held", "", (Grammar::Iam, READS)).await.unwrap();
    for name in &names {
        let user = here.add_user(name, UserDetails::default()).await.unwrap();
        here.add_to_group(user.uin, group.id).await.unwrap();
        here.attach_policy(user.uin, id).await.unwrap();
        here.create_group(name, "").await.unwrap();
        here.create_role(name, (Grammar::Cam, TRUST), 60, "").await.unwrap();
        here.create_policy(name, "", (Grammar::Iam, READS)).await.unwrap();
    }
    names.sort_unstable();

    let calls = || {
        let calls = faulty.calls();
        faulty.plan(None);
        calls
    };
    let (mut groups, mut roles, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_groups, mut of_roles, mut of_policies) =
        (String::new(), String::new(), String::new());
    let ours = |name: &str| name.starts_with('n');
    for page in 0..COUNT / 50 {
        calls();
        let (found, next) =
            here.groups_by_name(&of_groups, 50, |group| ours(&group.name)).await.unwrap();
        groups.extend(found.into_iter().map(|group| group.name));
        of_groups = next.unwrap_or_default();
        let (found, next) =
            here.roles_by_name(&of_roles, 50, |role| ours(&role.name)).await.unwrap();
        roles.extend(found.into_iter().map(|role| role.name));
        of_roles = next.unwrap_or_default();
        let (found, next) =
            here.policies_by_name(&of_policies, 50, |policy| ours(&policy.name)).await.unwrap();
        policies.extend(found.into_iter().map(|policy| policy.name));
        of_policies = next.unwrap_or_default();
        let calls = calls();
        assert!(calls <= 6, "page {page} took {calls} calls");
    }
    assert_eq!((&groups, &roles, &policies), (&names, &names, &names));
    assert_eq!((&of_groups[..], &of_roles[..], &of_policies[..]), ("", "", ""));

    // By numbers, from a marker on.
    let (mut members, mut holders, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let (mut after_member, mut after_holder, mut after_user) = (None, None, None);
    loop {
        calls();
        let (found, more) = here.members_behind(group.id, after_member, 100).await.unwrap();
        after_member = found.last().map(|user| user.uin);
        members.extend(found.into_iter().map(|user| user.name));
        assert!(calls() <= 1);
        let (found, more_users) = here.users_behind(after_user, 100).await.unwrap();
        after_user = found.last().map(|user| user.uin);
        all.extend(found.into_iter().map(|user| user.name));
        assert!(calls() <= 1);
        let (found, more_holders) =
            here.holders_behind((id, false), after_holder, 100, |_, _| true).await.unwrap();
        after_holder = found.last().map(|entry| entry.holder);
        holders.extend(found.into_iter().map(|entry| entry.name));
        assert_eq!((more, more), (more_users, more_holders));
        if !more {
            break;
        }
        assert!(calls() <= 1);
    }
    for list in [&mut members, &mut holders, &mut all] {
        list.sort_unstable();
        assert_eq!(*list, names);
    }

    // How much is used is counted once for all that ask soon after, and anew after a change.
    assert_eq!(here.policy_uses().await.unwrap()[&id].attached, COUNT);
    calls();
    assert_eq!(here.policy_uses().await.unwrap()[&id].attached, COUNT);
    assert_eq!(calls(), 0);
    here.attach_policy(PolicyHolder::Group(group.id), id).await.unwrap();
    assert_eq!(here.policy_uses().await.unwrap()[&id].attached, COUNT + 1);
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    calls();
    here.policy_uses().await.unwrap();
    assert!(calls() > 0);

    // All members leave a group that is deleted with them.
    here.delete_group(group.id, true).await.unwrap();
    assert!(here.members_behind(group.id, None, 1).await.unwrap().0.is_empty());
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
    let policies = async |accounts: &Accounts| {
        let key = accounts.find(pair.id(), None).await.unwrap();
        key.user().unwrap().in_force.policies.len()
    };
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

const TRUST: &[u8] = br#"{"version": "2.0", "statement": [{"effect": "allow",
    "action": "name/sts:AssumeRole", "principal": {"qcs": "qcs::cam::uin/100000000001:root"}}]}"#;

#[tokio::test]
async fn a_roles_life() {
    let (here, there, clock) = gateways().await;
    let trust = (Grammar::Cam, TRUST);
    let role = here.create_role("auditor", trust, 7200, "Audits").await.unwrap();
    let again = there.create_role("auditor", trust, 7200, "").await;
    assert!(matches!(again, Err(IdentityError::RoleExists)));
    for seconds in [0, 43_201] {
        let refused = here.create_role("other", trust, seconds, "").await;
        assert!(matches!(refused, Err(IdentityError::RoleDuration { .. })), "{seconds}");
    }
    // Whom it is about, it must say; what, it cannot.
    for document in [ALL, &TRUST[..40], br#"{"version": "2.0", "statement": []}"#] {
        let refused = here.create_role("other", (Grammar::Cam, document), 60, "").await;
        assert!(matches!(refused, Err(IdentityError::Policy(_))));
    }
    let seen = there.role_named("auditor").await.unwrap();
    assert_eq!((seen.id, &seen.description[..], &seen.trust.1[..]), (role.id, "Audits", TRUST));
    let changes = RoleChanges { session_s_max: Some(60), ..RoleChanges::default() };
    there.update_role(role.id, &changes).await.unwrap();
    let role = here.role(role.id).await.unwrap();
    assert_eq!((role.session_s_max, &role.description[..]), (60, "Audits"));
    assert_eq!(here.roles(0, 10).await.unwrap().0, 1);

    let id = here.create_policy("all", "", (Grammar::Cam, ALL)).await.unwrap();
    let holder = PolicyHolder::Role(role.id);
    here.attach_policy(holder, id).await.unwrap();
    let asker = here.find("AKIDroot", None).await.unwrap();
    let ask = |duration_s| SessionRequest {
        name: "somebody",
        duration_s,
        policy: None,
        whose: Whose::Role(&role),
    };
    let long = here.grant(&asker, &ask(61));
    assert!(matches!(long, Err(GrantError::Duration { max: 60 })));
    let key = here.grant(&asker, &ask(60)).unwrap();
    let (key_id, token) = (key.pair.id().to_owned(), key.token.expose().to_owned());
    let policies = async |accounts: &Accounts| {
        let key = accounts.find(&key_id, Some(&token)).await.map_err(|e| e.to_string())?;
        assert!(!key.is_root() && key.user().is_none());
        assert_eq!(key.role().unwrap().name, "auditor");
        Ok::<_, String>(key.policies().len())
    };
    assert_eq!((policies(&here).await, policies(&there).await), (Ok(1), Ok(1)));
    let said = SessionTags {
        tags: [("team".to_owned(), "red".to_owned()), ("cost".to_owned(), "1".to_owned())].into(),
        transitive: ["team".to_owned()].into(),
        source_identity: "ann".into(),
    };
    let tagged = here.grant_tagged(&asker, &ask(60), &said).unwrap();
    let tagged = there.find(tagged.pair.id(), Some(tagged.token.expose())).await.unwrap();
    assert_eq!(tagged.session.as_ref().unwrap().said, said);
    assert_eq!((tagged.tag("TEAM"), tagged.tag("other")), (Some("red"), None));
    let goes_on = SessionTags::default().inherited(&tagged).unwrap();
    assert_eq!(goes_on.tags, [("team".to_owned(), "red".to_owned())].into());
    assert_eq!((goes_on.transitive.len(), &*goes_on.source_identity), (1, "ann"));
    let changed = SessionTags { source_identity: "bob".into(), ..SessionTags::default() };
    assert!(matches!(changed.inherited(&tagged), Err(GrantError::SourceIdentity)));
    here.detach_policy(holder, id).await.unwrap();
    assert_eq!(policies(&here).await, Ok(0), "at once here");
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert_eq!(policies(&there).await, Ok(0), "within a second there");

    // With a key of a role another role can be asked for, and nothing else.
    let temporary = here.find(&key_id, Some(&token)).await.unwrap();
    let other = here.create_role("other", trust, 43_200, "").await.unwrap();
    let chained = |duration_s| SessionRequest { whose: Whose::Role(&other), ..ask(duration_s) };
    assert!(here.grant(&temporary, &chained(3600)).is_ok());
    let long = here.grant(&temporary, &chained(3601));
    assert!(matches!(long, Err(GrantError::Duration { max: 3600 })));
    let federated =
        SessionRequest { policy: Some((Grammar::Cam, ALL)), whose: Whose::Federated, ..ask(60) };
    assert!(matches!(here.grant(&temporary, &federated), Err(GrantError::Temporary)));

    here.attach_policy(holder, id).await.unwrap();
    assert!(matches!(here.delete_role(role.id, false).await, Err(IdentityError::RoleInUse)));
    here.delete_role(role.id, true).await.unwrap();
    assert!(policies(&here).await.is_err());
    assert!(matches!(here.role_named("auditor").await, Err(IdentityError::NoSuchRole)));
    // A new one of the name is another one.
    here.create_role("auditor", trust, 7200, "").await.unwrap();
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert!(policies(&there).await.is_err());
}

const READS: &[u8] = br#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Action": "s3:GetObject", "Resource": "*"}}"#;

#[tokio::test]
async fn policies_of_a_single_holder() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let group = here.create_group("readers", "").await.unwrap();
    let role = here.create_role("auditor", (Grammar::Cam, TRUST), 60, "").await.unwrap();
    let pair = here.create_key(user.uin, "").await.unwrap();
    here.add_to_group(user.uin, group.id).await.unwrap();
    let policies =
        async |accounts: &Accounts| accounts.find(pair.id(), None).await.unwrap().policies().len();
    assert_eq!((policies(&here).await, policies(&there).await), (0, 0));
    let user = PolicyHolder::User(user.uin);
    let (group, role) = (PolicyHolder::Group(group.id), PolicyHolder::Role(role.id));
    for holder in [user, group, role] {
        here.put_inline_policy(holder, "p", (Grammar::Iam, READS)).await.unwrap();
        here.put_inline_policy(holder, "p", (Grammar::Cam, ALL)).await.unwrap();
        here.put_inline_policy(holder, "q", (Grammar::Iam, READS)).await.unwrap();
        let shown = there.inline_policies(holder).await.unwrap();
        let shown: Vec<_> =
            shown.iter().map(|p| (&p.name[..], p.grammar, &p.document[..])).collect();
        assert_eq!(shown, [("p", Grammar::Cam, ALL), ("q", Grammar::Iam, READS)]);
        let bad = here.put_inline_policy(holder, "r", (Grammar::Iam, ALL)).await;
        assert!(matches!(bad, Err(IdentityError::Policy(_))));
        let bad = here.put_inline_policy(holder, "a b", (Grammar::Iam, READS)).await;
        assert!(matches!(bad, Err(IdentityError::PolicyName { .. })));
        let mut long = READS.to_vec();
        long.resize(10_240, b' ');
        let long = here.put_inline_policy(holder, "r", (Grammar::Iam, &long)).await;
        assert!(matches!(long, Err(IdentityError::TooMuchInline { .. })));
        here.delete_inline_policy(holder, "p").await.unwrap();
        let again = here.delete_inline_policy(holder, "p").await;
        assert!(matches!(again, Err(IdentityError::NoSuchPolicy)));
    }
    assert_eq!(policies(&here).await, 2, "at once here");
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert_eq!(policies(&there).await, 2, "within a second there");
    let kept = here.delete_user("reader", false).await;
    assert!(matches!(kept, Err(IdentityError::UserInUse)));
    let PolicyHolder::Role(role) = role else { unreachable!() };
    assert!(matches!(here.delete_role(role, false).await, Err(IdentityError::RoleInUse)));
}

#[tokio::test]
async fn who_has_a_policy_is_counted() {
    let (here, _, _) = gateways().await;
    let id = here.create_policy("reads", "", (Grammar::Iam, READS)).await.unwrap();
    assert_eq!(here.managed_policy(id).await.unwrap().grammar, Grammar::Iam);
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let group = here.create_group("readers", "").await.unwrap();
    let role = here.create_role("auditor", (Grammar::Cam, TRUST), 60, "").await.unwrap();
    let holders = [user.uin.into(), PolicyHolder::Group(group.id), PolicyHolder::Role(role.id)];
    for (n, holder) in holders.into_iter().enumerate() {
        assert_eq!(here.policy_uses().await.unwrap().get(&id).map_or(0, |uses| uses.attached), n);
        here.attach_policy(holder, id).await.unwrap();
    }
    assert_eq!(here.policy_uses().await.unwrap()[&id].attached, 3);
    let users = PolicyHolder::User(user.uin);
    let all = [users, PolicyHolder::Group(group.id), PolicyHolder::Role(role.id)];
    let mut after = None;
    for holder in all {
        let (page, more) = here.holders_behind((id, false), after, 1, |_, _| true).await.unwrap();
        assert_eq!(page.iter().map(|entry| entry.holder).collect::<Vec<_>>(), [holder]);
        assert_eq!(more, holder != all[2]);
        after = Some(holder);
    }
    let wanted = |holder, path: &str| path == "/" && holder != users;
    let (page, more) = here.holders_behind((id, false), None, 9, wanted).await.unwrap();
    assert_eq!((page.len(), more, page[1].name.as_str()), (2, false, "auditor"));
    assert!(here.holders_behind((id, true), None, 9, |_, _| true).await.unwrap().0.is_empty());
    assert!(here.is_used(id).await.unwrap());
    // What it says, and in which grammar, can change.
    here.update_policy(id, None, Some((Grammar::Cam, ALL))).await.unwrap();
    assert_eq!(here.managed_policy(id).await.unwrap().grammar, Grammar::Cam);
}

fn labels(path: &str, tags: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Labels { path: path.to_owned(), tags: tags.iter().map(owned).collect() }
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

#[tokio::test]
async fn versions_of_a_policy() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let pair = here.create_key(user.uin, "").await.unwrap();
    let id = here.create_policy("p", "", (Grammar::Iam, READS)).await.unwrap();
    here.attach_policy(user.uin, id).await.unwrap();
    let in_force = async || here.find(pair.id(), None).await.unwrap().policies()[0].clone();
    let reads = in_force().await;
    clock.0.fetch_add(5, Ordering::Relaxed);
    assert_eq!(here.create_policy_version(id, (Grammar::Cam, ALL), false).await.unwrap(), 2);
    assert_eq!(in_force().await, reads, "it is not the default");
    assert_eq!(there.policy_version(id, 2).await.unwrap().1, ALL);
    here.set_default_version(id, 2).await.unwrap();
    assert_eq!(in_force().await.grammar, Grammar::Cam);
    assert_eq!(there.managed_policy(id).await.unwrap().default_version, 2);
    assert_eq!(there.policy_version(id, 1).await.unwrap().1, READS);
    // What CAM changes is the version that counts.
    here.update_policy(id, Some("d"), Some((Grammar::Iam, READS))).await.unwrap();
    assert_eq!(there.policy_version(id, 2).await.unwrap().1, READS);
    for number in 3..=5 {
        let made = here.create_policy_version(id, (Grammar::Cam, ALL), number == 3).await;
        assert_eq!(made.unwrap(), number);
    }
    let more = here.create_policy_version(id, (Grammar::Cam, ALL), false).await;
    assert!(matches!(more, Err(IdentityError::TooManyVersions { .. })));
    let versions = there.policy_versions(id).await.unwrap();
    let versions: Vec<_> = versions.iter().map(|v| (v.number, v.is_default)).collect();
    assert_eq!(versions, [(5, false), (4, false), (3, true), (2, false), (1, false)]);
    let counts = here.delete_policy_version(id, 3).await;
    assert!(matches!(counts, Err(IdentityError::DefaultVersion)));
    here.delete_policy_version(id, 5).await.unwrap();
    for number in [5, 6] {
        let gone = here.delete_policy_version(id, number).await;
        assert!(matches!(gone, Err(IdentityError::NoSuchVersion)));
        let gone = here.set_default_version(id, number).await;
        assert!(matches!(gone, Err(IdentityError::NoSuchVersion)));
        assert!(matches!(here.policy_version(id, number).await, Err(IdentityError::NoSuchVersion)));
    }
    here.set_default_version(id, 1).await.unwrap();
    assert_eq!(in_force().await, reads);
    // A number is given once.
    assert_eq!(here.create_policy_version(id, (Grammar::Cam, ALL), true).await.unwrap(), 6);
    here.delete_policy(id).await.unwrap();
    assert!(matches!(there.policy_version(id, 1).await, Err(IdentityError::NoSuchPolicy)));
}

/// A permissions boundary is there as soon as who has it, wherever a process ends that
/// makes him.
#[tokio::test]
async fn nobody_is_ever_without_the_boundary_he_was_made_with() {
    let inner: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let clock = Arc::new(Hands(AtomicU64::new(1_700_000_000_000)));
    let faulty = Faulty::new(inner.clone());
    let here = opened(faulty.clone(), &clock).await;
    let there = opened(inner, &clock).await;
    let policy = there.create_policy("reads", "", (Grammar::Iam, READS)).await.unwrap();
    let preset = ManagedPolicy::preset_named("AmazonS3FullAccess").unwrap().id;
    let trust = (Grammar::Cam, TRUST);
    let (mut failed, mut unseen) = (0, 0);
    for boundary in [policy, preset] {
        for fault in [Fault::Before, Fault::After] {
            for at in 0.. {
                let name = format!("{boundary}-{fault:?}-{at}");
                let labels = labels("/team/", &[("cost", "1")]);
                let given = NewHolder { labels: labels.clone(), boundary: Some(boundary) };
                let plan = |at| faulty.plan(Some(Plan { at, fault, forever: true }));
                plan(at);
                let user = here.add_user_with(&name, UserDetails::default(), &given).await;
                let calls = faulty.calls();
                plan(at);
                let role = here.create_role_with(&name, trust, 60, "", &given).await;
                let (user_made, role_made) = (user.is_ok(), role.is_ok());
                match there.user_named(&name).await {
                    Ok(user) => {
                        assert_eq!((user.boundary, user.labels), (Some(boundary), labels.clone()));
                        unseen += u64::from(!user_made);
                    }
                    Err(error) => {
                        assert!(matches!(error, IdentityError::NoSuchUser), "{error}");
                        assert!(!user_made);
                    }
                }
                match there.role_named(&name).await {
                    Ok(role) => assert_eq!((role.boundary, role.labels), (Some(boundary), labels)),
                    Err(error) => {
                        assert!(matches!(error, IdentityError::NoSuchRole), "{error}");
                        assert!(!role_made);
                    }
                }
                failed += u64::from(!user_made);
                if calls <= at && faulty.calls() <= at {
                    break;
                }
            }
        }
    }
    assert!(failed >= 4 && unseen >= 1, "{failed} failed, {unseen} of them after the commit");
    // One that is gone in the meantime is no boundary.
    faulty.plan(None);
    there.delete_policy(policy).await.unwrap();
    let given = NewHolder { boundary: Some(policy), ..NewHolder::default() };
    let refused = here.add_user_with("late", UserDetails::default(), &given).await;
    assert!(matches!(refused, Err(IdentityError::NoSuchPolicy)));
    let refused = here.create_role_with("late", trust, 60, "", &given).await;
    assert!(matches!(refused, Err(IdentityError::NoSuchPolicy)));
    assert!(matches!(there.user_named("late").await, Err(IdentityError::NoSuchUser)));
}

#[tokio::test]
async fn boundaries_and_presets() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let pair = here.create_key(user.uin, "").await.unwrap();
    let group = here.create_group("readers", "").await.unwrap();
    let role = here.create_role("auditor", (Grammar::Cam, TRUST), 60, "").await.unwrap();
    let limits =
        async |accounts: &Accounts| accounts.find(pair.id(), None).await.unwrap().limits().to_vec();
    let id = here.create_policy("reads", "", (Grammar::Iam, READS)).await.unwrap();
    assert!(limits(&there).await.is_empty());
    let none = here.set_boundary(user.uin, None).await;
    assert!(matches!(none, Err(IdentityError::NoBoundary)));
    let of_group = here.set_boundary(PolicyHolder::Group(group.id), Some(id)).await;
    assert!(matches!(of_group, Err(IdentityError::NoBoundary)));
    let unknown = here.set_boundary(user.uin, Some(999_999_999)).await;
    assert!(matches!(unknown, Err(IdentityError::NoSuchPolicy)));
    here.set_boundary(user.uin, Some(id)).await.unwrap();
    here.set_boundary(PolicyHolder::Role(role.id), Some(id)).await.unwrap();
    let reads = Policy::of_user(Grammar::Iam, READS).unwrap();
    assert_eq!(*limits(&here).await[0], reads, "at once here");
    let boundary_name = async || {
        let key = here.find(pair.id(), None).await.unwrap();
        key.user().unwrap().limits.origins[0].name.to_string()
    };
    assert_eq!(boundary_name().await, "reads");
    clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert_eq!(*limits(&there).await[0], reads, "within a second there");
    assert_eq!(here.policy_uses().await.unwrap()[&id].bounds, 2);
    assert_eq!(there.role(role.id).await.unwrap().boundary, Some(id));
    // One that is gone allows nothing, and is no hole.
    here.delete_policy(id).await.unwrap();
    assert_eq!(*limits(&here).await[0], Policy::nothing());
    assert_eq!(boundary_name().await, id.to_string());
    here.set_boundary(user.uin, None).await.unwrap();
    assert!(limits(&here).await.is_empty());

    let preset = ManagedPolicy::preset_named("AmazonS3FullAccess").unwrap();
    here.attach_policy(user.uin, preset.id).await.unwrap();
    here.attach_policy(user.uin, here.create_policy("b", "", (Grammar::Cam, ALL)).await.unwrap())
        .await
        .unwrap();
    here.attach_policy(PolicyHolder::Group(group.id), preset.id).await.unwrap();
    let other = ManagedPolicy::preset_named("IAMReadOnlyAccess").unwrap();
    here.attach_policy(PolicyHolder::Group(group.id), other.id).await.unwrap();
    here.add_to_group(user.uin, group.id).await.unwrap();
    let key = here.find(pair.id(), None).await.unwrap();
    let in_force = &key.user().unwrap().in_force;
    let origins: Vec<_> =
        in_force.origins.iter().map(|origin| (&*origin.name, origin.group.as_deref())).collect();
    let expected =
        [("AmazonS3FullAccess", None), ("IAMReadOnlyAccess", Some("readers")), ("b", None)];
    assert_eq!((&origins[..], key.policies().len()), (&expected[..], 3));
    here.detach_policy(user.uin, there.managed_policy_named("b").await.unwrap().id).await.unwrap();
    here.remove_from_group(user.uin, group.id).await.unwrap();
    here.detach_policy(PolicyHolder::Group(group.id), preset.id).await.unwrap();
    assert_eq!(here.find(pair.id(), None).await.unwrap().policies().len(), 1);
    let attached = there.attached_policies(user.uin).await.unwrap();
    assert_eq!(attached[0].0.name, "AmazonS3FullAccess");
    assert_eq!(there.policy_uses().await.unwrap()[&preset.id].attached, 1);
    here.set_boundary(user.uin, Some(preset.id)).await.unwrap();
    assert_eq!(limits(&here).await.len(), 1);
    let fixed = here.update_policy(preset.id, Some("d"), None).await;
    assert!(matches!(fixed, Err(IdentityError::PresetPolicy)));
    assert!(matches!(here.delete_policy(preset.id).await, Err(IdentityError::PresetPolicy)));
    let version = here.create_policy_version(preset.id, (Grammar::Iam, READS), true).await;
    assert!(matches!(version, Err(IdentityError::PresetPolicy)));
    here.detach_policy(user.uin, preset.id).await.unwrap();
    assert!(here.find(pair.id(), None).await.unwrap().policies().is_empty());
}
