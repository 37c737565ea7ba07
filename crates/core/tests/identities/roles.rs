//! Roles, and what users and roles may have at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::account::{
    Accounts, GrantError, IdentityError, KEY_CACHE_MS, ManagedPolicy, NewHolder, PolicyHolder,
    RoleChanges, SessionRequest, SessionTags, UserDetails, Whose,
};
use costrel_core::engine::Engine;
use costrel_policy::{Grammar, Policy};
use costrel_testkit::MemoryEngine;

use crate::faulty::{Fault, Faulty, Plan};
use crate::{ALL, Hands, READS, TRUST, gateways, labels, opened};

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
