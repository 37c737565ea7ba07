//! Policies, and who has them.

use std::sync::atomic::Ordering;

use costrel_core::account::{Accounts, IdentityError, KEY_CACHE_MS, PolicyHolder, UserDetails};
use costrel_policy::Grammar;

use crate::{ALL, READS, TRUST, gateways, policies_in_force};

#[tokio::test]
async fn a_policys_life() {
    let (here, there, clock) = gateways().await;
    let user = here.add_user("reader", UserDetails::default()).await.unwrap();
    let pair = here.create_key(user.uin, "").await.unwrap();
    let policies = async |accounts: &Accounts| policies_in_force(accounts, &pair).await;
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
