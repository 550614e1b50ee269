//! What every vault does, as a test that each of them passes.

use stella_domain::{Digest, Timestamp};

use super::{Category, Client, Refresh, Revocation, Role, Spent, User, Vault};
use crate::scope::{Scope, Scopes};
use crate::tenants::Tenants;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus_seconds(seconds)
}

/// Tries everything on a vault that holds nothing.
///
/// # Panics
/// When it does not do what a vault does.
pub async fn check(vault: &dyn Vault) {
    clients_and_users(vault).await;
    refresh_tokens(vault).await;
    sights_and_failures(vault).await;
    revocations(vault).await;
}

async fn clients_and_users(vault: &dyn Vault) {
    let client = |id: &str, disabled| Client {
        id: id.to_owned(),
        secret_hash: "$argon2id$".to_owned(),
        scopes: Scopes::from_iter([Scope::Api]),
        tenants: Tenants::All,
        max_scans_per_day: Some(5),
        disabled,
        created_at: at(0),
        rotated_at: at(1),
    };
    assert!(vault.keep_client(&client("b", false), true).await.unwrap());
    assert!(vault.keep_client(&client("a", false), true).await.unwrap());
    assert!(!vault.keep_client(&client("a", true), true).await.unwrap(), "a new one never replaces");
    assert_eq!(vault.client("a").await.unwrap(), Some(client("a", false)));
    assert!(vault.keep_client(&client("a", true), false).await.unwrap());
    assert_eq!(vault.clients().await.unwrap(), [client("a", true), client("b", false)]);
    assert_eq!(vault.client("c").await.unwrap(), None);

    let user = User {
        name: "ann".to_owned(),
        password_hash: "$argon2id$".to_owned(),
        role: Role::Viewer,
        tenants: Tenants::default(),
        disabled: false,
        created_at: at(0),
    };
    assert!(vault.keep_user(&user, true).await.unwrap() && !vault.keep_user(&user, true).await.unwrap());
    assert_eq!(vault.users().await.unwrap(), std::slice::from_ref(&user));
    assert_eq!(vault.user("ann").await.unwrap(), Some(user));
}

async fn refresh_tokens(vault: &dyn Vault) {
    let refresh = Refresh {
        family: "f".to_owned(),
        client: "a".to_owned(),
        user: "ann".to_owned(),
        scopes: Scopes::from_iter([Scope::PolicyRead]),
        login_at: at(0),
        expires_at: at(100),
    };
    let digest = Digest::of("refresh");
    vault.keep_refresh(digest, &refresh).await.unwrap();
    // Many at once: one of them sees it fresh.
    let tries = futures::future::join_all((0..8).map(|_| vault.spend_refresh(digest, at(99)))).await;
    let fresh = tries.iter().filter(|spent| **spent == Ok(Spent::Fresh(refresh.clone()))).count();
    let again = tries.iter().filter(|spent| **spent == Ok(Spent::Again(refresh.clone()))).count();
    assert_eq!((fresh, again), (1, 7));
    assert_eq!(vault.spend_refresh(digest, at(100)).await.unwrap(), Spent::Unknown, "it ended");
    assert_eq!(vault.spend_refresh(Digest::of("other"), at(0)).await.unwrap(), Spent::Unknown);
}

async fn sights_and_failures(vault: &dyn Vault) {
    let digest = Digest::of("proof");
    let tries = futures::future::join_all((0..8).map(|_| vault.first_sight(digest, at(0), at(60)))).await;
    assert_eq!(tries.iter().filter(|first| **first == Ok(true)).count(), 1);
    assert!(!vault.first_sight(digest, at(59), at(120)).await.unwrap());
    assert!(vault.first_sight(digest, at(60), at(120)).await.unwrap(), "what ended is forgotten");

    futures::future::join_all((0..6).map(|_| vault.count_failure("x", at(0)))).await;
    let failures = vault.failures("x").await.unwrap();
    assert_eq!((failures.count, failures.last), (6, at(0)), "none is lost");
    vault.forget_failures("x").await.unwrap();
    assert_eq!(vault.failures("x").await.unwrap().count, 0);
}

async fn revocations(vault: &dyn Vault) {
    let revocation = |category, id: &str, revoked, expires| Revocation {
        category,
        id: id.to_owned(),
        revoked_at: at(revoked),
        expires_at: at(expires),
        reason: "because".to_owned(),
    };
    let user = revocation(Category::User, "ann", 5, 200);
    for one in [&user, &revocation(Category::User, "ann", 3, 150), &revocation(Category::Family, "f", 1, 100)] {
        vault.revoke(one).await.unwrap();
    }
    let families = vault.revocations(at(0)).await.unwrap();
    assert_eq!(families, [revocation(Category::Family, "f", 1, 100), user.clone()], "the later one of two");
    assert_eq!(vault.revocations(at(100)).await.unwrap(), std::slice::from_ref(&user));
    vault.sweep(at(150)).await.unwrap();
    assert_eq!(vault.revocations(at(0)).await.unwrap(), [user]);
    assert_eq!(vault.spend_refresh(Digest::of("refresh"), at(99)).await.unwrap(), Spent::Unknown, "it ended");
    assert!(vault.first_sight(Digest::of("proof"), at(100), at(120)).await.unwrap(), "it is forgotten");
    assert!(vault.client("a").await.unwrap().is_some(), "clients do not end");
}
