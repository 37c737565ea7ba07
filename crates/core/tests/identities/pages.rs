//! Lists of identities, a page at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::account::{KEY_CACHE_MS, PolicyHolder, UserDetails};
use costrel_core::engine::Engine;
use costrel_policy::Grammar;
use costrel_testkit::MemoryEngine;

use crate::faulty::Faulty;
use crate::{ALL, Hands, READS, TRUST, gateways, opened};

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
